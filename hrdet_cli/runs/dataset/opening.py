"""Open the data set of a spec, and check it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.coco_reading import NO_MASK, load_annotations
from hrdet_cli.engine.data.formats.source import AnnotationSource
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.label_maps import LabelMaps
from hrdet_cli.errors import DataError
from hrdet_cli.runs.dataset.classes import with_classes_alone, with_classes_of
from hrdet_cli.runs.dataset.joining import join_parts
from hrdet_cli.runs.dataset.location import locate_part
from hrdet_cli.runs.dataset.part import DatasetPart, TrainingData
from hrdet_cli.runs.tiles import cut_pictures
from hrdet_cli.specs.data import DataSpec, PartName
from hrdet_cli.specs.heads.head import HeadSpec
from hrdet_cli.wording import counted, first_few


class LoadAnnotations(Protocol):
    """Reads annotations, as `load_annotations` does."""

    def __call__(self, source: AnnotationSource, *, with_masks: bool, with_truth: bool) -> CocoAnnotations:
        """The annotations of a source."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataNeeds:
    """What a head asks of the data.

    Attributes:
        with_masks: Whether objects need masks.
        tells_classes: Whether classes are told apart; else all are one.
        num_labels: Labels that the training pictures' label maps may have; None leaves the maps alone.
    """

    with_masks: bool = False
    tells_classes: bool = True
    num_labels: int | None = None

    @classmethod
    def of(cls, head: HeadSpec) -> Self:
        """Those of a spec's head."""
        return cls(with_masks=head.has_masks, tells_classes=head.tells_classes, num_labels=head.num_labels)


_BOXES_ALONE = DataNeeds()


def open_training_data(
    data: DataSpec,
    needs: DataNeeds = _BOXES_ALONE,
    *,
    is_scored: bool = False,
    load: LoadAnnotations = load_annotations,
) -> TrainingData:
    """Open both parts and compare their classes.

    Args:
        data: Where they are.
        needs: What they must have.
        is_scored: Whether detections in the validation part will be compared with what is there.
        load: Reads annotations; the processes of a group give `load_annotations_once`.

    Raises:
        DataError: A part cannot be used, or their categories differ.
    """
    train = open_part(data, "train", needs, load=load)
    if data.val is None:
        return TrainingData(train, None)
    val = open_part(data, "val", needs, is_scored=is_scored, load=load)
    return TrainingData(train, replace(val, annotations=with_classes_of(train.annotations, val.annotations)))


def open_part(
    data: DataSpec,
    part: PartName,
    needs: DataNeeds = _BOXES_ALONE,
    *,
    is_scored: bool = False,
    load: LoadAnnotations = load_annotations,
) -> DatasetPart:
    """Open the training or validation part; draws the demo data first where the spec asks for it.

    Args:
        data: Where it is.
        part: Which one; only the training part has label maps.
        needs: What it must have.
        is_scored: Whether detections will be compared with what is there.
        load: As for `open_training_data`.

    Raises:
        DataError: Annotations are broken, or pictures they name are missing.
    """
    numbers = range(len(data.training_sets)) if part == "train" else range(1)
    sets = [_open_set(data, part, number, needs, is_scored=is_scored, load=load) for number in numbers]
    opened = join_parts(sets, may_differ=data.classes is not None)
    annotations = opened.annotations
    if data.classes is not None:
        annotations = with_classes_alone(annotations, data.classes)
    if not needs.tells_classes:
        annotations = annotations.as_one_class()
    notices: tuple[str, ...] = ()
    if part == "train":
        annotations, notices = cut_pictures(annotations, data)
    return replace(opened, annotations=annotations, notices=(*opened.notices, *notices))


def _open_set(
    data: DataSpec,
    part: PartName,
    number: int,
    needs: DataNeeds,
    *,
    is_scored: bool,
    load: LoadAnnotations,
) -> DatasetPart:
    """One of the data sets of a part, with all its classes; arguments as of `open_part`."""
    located, key = locate_part(data, part, number), data.key_of(part, number)
    annotations = load(located.source, with_masks=needs.with_masks, with_truth=is_scored)
    if not annotations.num_boxes.any() and (num_lost := annotations.dropped_boxes.get(NO_MASK)):
        raise DataError(
            f"{annotations.title}: none of its {counted(num_lost, 'annotation')} has a segmentation, which "
            "masks are learnt from and measured with. Take data with segmentations, or a head without masks: "
            "--set model.head.mask=null"
        )
    images = open_images(located.images)
    found = images.find(annotations.file_names.tolist())
    if found.missing:
        first = found.missing[0]
        raise DataError(
            f"{located.images}: {len(found.missing)} of the {len(annotations)} pictures that "
            f"{annotations.title} names are missing: {first_few(found.missing)}. {first} "
            f"{images.why_missing(first)}. Check {key}.images, or take them out of the annotations."
        )
    if found.contradictory:
        raise DataError(
            f"{located.images}: members of different content have one name, so nobody knows which one "
            f"{annotations.title} means: {first_few(found.contradictory)}. Make the archive again."
        )
    notices = [f"{located.images}: {note}" for note in found.notes()]
    notices += [
        f"{annotations.path}: {note}" for note in (*annotations.notes, *_doubts_about(annotations, part))
    ]
    label_maps = None
    if part == "train" and needs.num_labels is not None:
        label_maps = _open_label_maps(
            data.locate_label_maps(number), annotations, key=key, num_labels=needs.num_labels
        )
    return DatasetPart(annotations, images, located, tuple(notices), label_maps)


def _open_label_maps(
    root: Path | None, annotations: CocoAnnotations, *, key: str, num_labels: int
) -> LabelMaps:
    """The label maps of all training pictures.

    Raises:
        DataError: None are named, or some are missing.
    """
    if root is None:
        raise DataError(f"no label maps are named; set {key}.label_maps to their folder or .zip archive")
    maps = LabelMaps(open_images(root), num_labels=num_labels)
    missing = maps.find(annotations.file_names.tolist()).missing
    if missing:
        raise DataError(
            f"{root}: {len(missing)} of the {len(annotations)} label maps of the pictures that "
            f"{annotations.title} names are missing: {first_few(missing)}. {missing[0]} "
            f"{maps.why_missing(missing[0])}. Check {key}.label_maps, or train without a semantic "
            "branch: --set model.head.semantic=null"
        )
    return maps


def _doubts_about(annotations: CocoAnnotations, part: PartName) -> list[str]:
    """What may be wrong with annotations; a validation part may lack boxes of any category."""
    doubts = [] if annotations.box_suspicion is None else [annotations.box_suspicion]
    return doubts + (list(annotations.spare_categories.values()) if part == "train" else [])
