"""Where the parts of a data set are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hrdet_cli.engine.data.formats.source import AnnotationSource
from hrdet_cli.engine.data.synthetic import make_demo_data
from hrdet_cli.errors import DataError
from hrdet_cli.file_kinds import why_no_file
from hrdet_cli.runs.annotation_sources import find_source
from hrdet_cli.specs.data import DataSpec, PartName
from hrdet_cli.wording import command


@dataclass(frozen=True, slots=True)
class LocatedPart:
    """Annotations that are there, and the folder or archive of their pictures."""

    source: AnnotationSource
    images: Path


def locate_part(data: DataSpec, part: PartName, number: int = 0) -> LocatedPart:
    """Where a data set of a part is; draws the demo data first where the spec asks for it.

    Raises:
        DataError: It is not there, or is no annotations.
    """
    if data.demo is not None:
        make_demo_data(
            data.root,
            seed=data.demo.seed,
            num_train_images=data.demo.num_train_images,
            num_val_images=data.demo.num_val_images,
        )
    located, section = data.locate(part, number), data.key_of(part, number)
    _refuse_missing(data, part, number)
    if located.images is not None:
        refuse_exchanged(located.annotations, located.images)
    source = find_source(located, part, section)
    if source.images is None:
        raise DataError(
            f"{located.annotations}: COCO's JSON does not say where its pictures are; name their folder or "
            f".zip as --{part}-data JSON IMAGES, or with --set {section}.images=IMAGES"
        )
    return LocatedPart(source, source.images)


def refuse_missing_sets(data: DataSpec, parts: Sequence[PartName]) -> None:
    """All data sets of some parts must be there.

    Raises:
        DataError: One is not.
    """
    if "train" in parts:
        for number in range(len(data.training_sets)):
            _refuse_missing(data, "train", number)
    if "val" in parts and data.val is not None:
        _refuse_missing(data, "val", 0)


def _refuse_missing(data: DataSpec, part: PartName, number: int) -> None:
    located, section = data.locate(part, number), data.key_of(part, number)
    for key, path in (("annotations", located.annotations), ("images", located.images)):
        reason = None if path is None else why_no_file(path)
        if path is not None and reason is not None and not path.is_dir():
            raise DataError(
                f"{path}: {reason}; {section}.{key} points there. "
                f"Name your own data with --{part}-data JSON IMAGES, or set data.root."
            )


def refuse_exchanged(annotations: Path, images: Path) -> None:
    """Refuse a folder or an archive where annotations should be, and a JSON file where pictures should be.

    Raises:
        DataError: The two are exchanged.
    """
    looks_like_images = annotations.is_dir() or annotations.suffix.lower() == ".zip"
    if looks_like_images and images.is_file() and images.suffix.lower() == ".json":
        raise DataError(
            f"{annotations} and {images} are exchanged: the annotations come first, then the pictures. Give: "
            f"{command(images, annotations)}"
        )
