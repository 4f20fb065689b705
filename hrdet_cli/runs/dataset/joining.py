"""Several training data sets as one."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hrdet_cli.engine.data.joined_annotations import join_annotations
from hrdet_cli.engine.data.joined_images import JoinedImages
from hrdet_cli.engine.data.label_maps import LabelMaps
from hrdet_cli.runs.dataset.classes import require_same_classes
from hrdet_cli.runs.dataset.part import DatasetPart


def join_parts(parts: Sequence[DatasetPart], *, may_differ: bool) -> DatasetPart:
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
            require_same_classes(sets[0], other)
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
