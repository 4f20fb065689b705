"""The data set of a spec: found, drawn if it is the demo's, checked before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol, Self

import numpy as np

from hrdet_cli.engine.data.coco import NO_MASK, CocoAnnotations, load_annotations
from hrdet_cli.engine.data.formats.source import AnnotationSource
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.label_maps import LabelMaps
from hrdet_cli.engine.data.synthetic import make_demo_data
from hrdet_cli.errors import DataError
from hrdet_cli.file_kinds import why_no_file
from hrdet_cli.runs.annotation_sources import find_source
from hrdet_cli.runs.chosen_classes import with_classes_alone
from hrdet_cli.runs.joined_sets import join_parts
from hrdet_cli.runs.tiles import cut_pictures
from hrdet_cli.specs.data import DataSpec
from hrdet_cli.specs.heads.head import HeadSpec
from hrdet_cli.wording import command, counted, first_few

MAX_NAMES_SHOWN = 5


class LoadAnnotations(Protocol):
    """Reads annotations, as `load_annotations` does."""

    def __call__(self, source: AnnotationSource, *, with_masks: bool, with_truth: bool) -> CocoAnnotations:
        """The annotations of a source."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Both parts of a data set, with the same classes; without validation data there is one."""

    train: "DatasetPart"
    val: "DatasetPart | None"

    @property
    def notices(self) -> tuple[str, ...]:
        """Those of both parts."""
        parts = [part for part in (self.train, self.val) if part is not None]
        return tuple(dict.fromkeys(notice for part in parts for notice in part.notices))


@dataclass(frozen=True, slots=True)
class DatasetPart:
    """Annotations and the pictures they speak of, all of them present.

    With tiles, training pictures are tiles already. Those that are scored are whole, and are cut for the
    detector alone.

    Attributes:
        located: Where both are; of several data sets, the first one.
        notices: What the user should know of the pictures' names and of the annotations.
        label_maps: Of training pictures, where they are needed.
        joined_roots: Of several data sets, where the pictures of each are, by what their names begin with.
    """

    annotations: CocoAnnotations
    images: ImageSource
    located: "LocatedPart"
    notices: tuple[str, ...] = ()
    label_maps: LabelMaps | None = None
    joined_roots: Mapping[str, Path] = field(default_factory=dict)

    @property
    def roots(self) -> Mapping[str, Path]:
        """Where the pictures are, by what their names begin with."""
        return self.joined_roots or {"": self.located.images}


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
    return TrainingData(train, replace(val, annotations=_with_classes_of(train.annotations, val.annotations)))


def open_part(
    data: DataSpec,
    part: Literal["train", "val"],
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
    part: Literal["train", "val"],
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


def _doubts_about(annotations: CocoAnnotations, part: Literal["train", "val"]) -> list[str]:
    """What may be wrong with annotations; a validation part may lack boxes of any category."""
    doubts = [] if annotations.box_suspicion is None else [annotations.box_suspicion]
    return doubts + (list(annotations.spare_categories.values()) if part == "train" else [])


@dataclass(frozen=True, slots=True)
class LocatedPart:
    """Annotations that are there, and the folder or archive of their pictures."""

    source: AnnotationSource
    images: Path


def locate_part(data: DataSpec, part: Literal["train", "val"], number: int = 0) -> LocatedPart:
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
    for key, path in (("annotations", located.annotations), ("images", located.images)):
        reason = None if path is None else why_no_file(path)
        if path is not None and reason is not None and not path.is_dir():
            raise DataError(
                f"{path}: {reason}; {section}.{key} points there. "
                f"Name your own data with --{part}-data JSON IMAGES, or set data.root."
            )
    if located.images is not None:
        refuse_exchanged(located.annotations, located.images)
    source = find_source(located, part, section)
    if source.images is None:
        raise DataError(
            f"{located.annotations}: COCO's JSON does not say where its pictures are; name their folder or "
            f".zip as --{part}-data JSON IMAGES, or with --set {section}.images=IMAGES"
        )
    return LocatedPart(source, source.images)


def training_indices(annotations: CocoAnnotations, *, keep_pictures_without_boxes: bool) -> np.ndarray:
    """Indices of the pictures that take part in training.

    Raises:
        DataError: None is left.
    """
    if keep_pictures_without_boxes:
        return np.arange(len(annotations))
    indices = np.flatnonzero(annotations.num_boxes > 0)
    if not len(indices):
        raise DataError(
            f"{annotations.title}: no picture has a box to train on; "
            "set data.keep_pictures_without_boxes=true to train on empty pictures"
        )
    return indices


def _with_classes_of(train: CocoAnnotations, other: CocoAnnotations) -> CocoAnnotations:
    """A validation part whose labels are the training part's.

    It must have the same classes, ids and order included; where several data sets are joined by the names of
    their classes, the same names.

    Raises:
        DataError: It has others.
    """
    is_joined = train.set_numbers is not None
    if is_joined and sorted(train.class_names) == sorted(other.class_names):
        return other.of_labels([other.class_names.index(name) for name in train.class_names])
    ours = dict(zip(train.category_ids, train.class_names, strict=True))
    theirs = dict(zip(other.category_ids, other.class_names, strict=True))
    if list(ours.items()) == list(theirs.items()):
        return other
    differing = sorted(set(ours.items()) ^ set(theirs.items()))[:MAX_NAMES_SHOWN]
    detail = ", ".join(f"{name} (id {number})" for number, name in differing) or "their order"
    raise DataError(
        f"{other.title}: its categories are not those of {train.title}; they differ in {detail}. "
        "Give both files the same list of categories, name other validation data with --val-data JSON "
        "IMAGES, or train without: --set data.val=null"
    )
