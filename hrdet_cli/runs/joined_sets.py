"""Several training data sets as one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.joined_annotations import join_annotations
from hrdet_cli.engine.data.joined_images import JoinedImages
from hrdet_cli.engine.data.label_maps import LabelMaps
from hrdet_cli.errors import DataError
from hrdet_cli.wording import command, first_and_count

if TYPE_CHECKING:
    from hrdet_cli.runs.dataset import DatasetPart


def join_parts(parts: Sequence["DatasetPart"], *, may_differ: bool) -> "DatasetPart":
    """Join opened data sets; one stays as it is.

    Args:
        parts: At least one.
        may_differ: Whether a set may lack classes of another.

    Raises:
        DataError: One does, and may not.
    """
    if len(parts) == 1:
        return parts[0]
    sets = [part.annotations for part in parts]
    if not may_differ:
        for other in sets[1:]:
            _require_same_classes(sets[0], other)
    prefixes = [_prefix(number, part.located.images) for number, part in enumerate(parts, 1)]
    maps = [part.label_maps for part in parts if part.label_maps is not None]
    label_maps = None
    if maps:
        files = JoinedImages([(prefix, one.files) for prefix, one in zip(prefixes, maps, strict=True)])
        label_maps = LabelMaps(files, num_labels=maps[0].num_labels)
    return replace(
        parts[0],
        annotations=join_annotations(sets, prefixes),
        images=JoinedImages([(prefix, part.images) for prefix, part in zip(prefixes, parts, strict=True)]),
        notices=tuple(notice for part in parts for notice in part.notices),
        label_maps=label_maps,
        joined_roots={prefix: part.located.images for prefix, part in zip(prefixes, parts, strict=True)},
    )


def _prefix(number: int, images: Path) -> str:
    """What names of pictures begin with: sets may share a folder, and find names in it in their own ways."""
    return f"{number}:{images}/"


def _require_same_classes(first: CocoAnnotations, other: CocoAnnotations) -> None:
    differences = differences_of_classes(first.class_names, other.class_names)
    if not differences:
        return
    common = [name for name in first.class_names if name in other.class_names]
    both = f" To train on what both have: {command('--set', f'data.classes={common}')}." if common else ""
    raise DataError(
        f"{other.title}: its categories are not those of {first.title}: {differences}. Objects "
        f"that one of them has no category for would be learnt as background.{both} If its pictures show "
        "none, name all classes to train on in data.classes, which a data set may then lack."
    )


def differences_of_classes(first: Sequence[str], other: Sequence[str]) -> str:
    """What a data set lacks of the classes of another, and has more, in words; empty for the same ones."""
    missing = [repr(name) for name in first if name not in other]
    additional = [repr(name) for name in other if name not in first]
    differences = []
    if missing:
        differences.append(f"it lacks {first_and_count(missing)}")
    if additional:
        differences.append(f"it alone has {first_and_count(additional)}")
    return " and ".join(differences)
