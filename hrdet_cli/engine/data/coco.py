"""Annotations, COCO's or those of another format, read strictly into arrays.

A file that is structurally wrong is refused with all its problems at once.  Boxes that are merely useless
(thinner than a pixel, or outside their picture; the official files hold some) are dropped and counted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.activity import doing
from hrdet_cli.engine.data.annotation_file import (
    AnnotationFile,
    without_cycle_search,
)
from hrdet_cli.engine.data.annotation_values import (
    ANYTHING,
    AREA,
    BOX,
    EDGE,
    FILE_NAME,
    FLAG,
    ID,
    INSIDE_TOLERANCE,
    NAME,
)
from hrdet_cli.engine.data.box_forms import declares_coco_form
from hrdet_cli.engine.data.box_judgement import refuse_foreign_boxes
from hrdet_cli.engine.data.formats.source import AnnotationSource, CocoFile
from hrdet_cli.engine.data.ground_truth import GroundTruth, rows_of_labels
from hrdet_cli.engine.data.lvis import NOTE as LVIS_NOTE
from hrdet_cli.engine.data.lvis import is_lvis, read_federated
from hrdet_cli.engine.data.segmentations import Segmentations
from hrdet_cli.engine.data.spare_categories import spare_categories
from hrdet_cli.engine.data.windows import Windows
from hrdet_cli.engine.geometry import Size, Window
from hrdet_cli.wording import counted

TOO_SMALL = "narrower or lower than one pixel"
OUTSIDE = "less than one pixel of it inside the picture"
_LARGE_BYTES = 50_000_000
NO_MASK = "without a mask"

ANY_CLASS = "object"
"""What all classes are called where they are not told apart."""


@dataclass(frozen=True, slots=True, eq=False)
class CocoAnnotations:
    """One COCO annotation file, or what another format has of it: M pictures with B boxes, by picture.

    Arrays instead of objects: worker processes share them without copying, whatever the size of the file.

    Attributes:
        path: The file, or what else was named; see ``AnnotationSource``.
        fingerprint: SHA-256 of the file's bytes, in hexadecimal, or of all files of another format.
        image_ids: ``(M,)`` int64, in the order of the file.
        file_names: ``(M,)`` strings, relative to the image root.
        sizes: ``(M, 2)`` int32, height and width.
        offsets: ``(M + 1,)`` int64; picture i owns rows ``offsets[i]:offsets[i + 1]`` of the following three.
        boxes: ``(B, 4)`` float32, clipped to the picture.
        labels: ``(B,)`` int64, position of the category in the file's list.
        is_crowd: ``(B,)`` bool; a crowd region is no target.
        class_names: K names; label k is ``class_names[k]``.
        category_ids: K ids; label k is ``category_ids[k]`` in the file.
        dropped_boxes: How many boxes were left out, by reason.
        box_suspicion: What makes one doubt that the boxes are in COCO's form; None where nothing does.
        spare_categories: What is said of categories that stand for no object, by label.
        segmentations: Of the B boxes, none of crowd regions; None where nobody asked for them.
        truth: All annotations, the dropped ones among them, as scores need them; None where nobody asked.
        windows: Which parts of pictures the M "pictures" are, where these are tiles; see ``tiles.py``.
        tells_classes: Whether the classes are those of the file; see ``as_one_class``.
        split: Which part of the data set at ``path`` this is; None of a file, which is one part.
        notes: What was decided where annotations of another format were read, a sentence each.
        set_numbers: ``(M,)`` int64, which of the joined data sets each picture is of, counted from 0; None of
            a single one.
    """

    path: Path
    fingerprint: str
    image_ids: NDArray[np.int64]
    file_names: NDArray[np.str_]
    sizes: NDArray[np.int32]
    offsets: NDArray[np.int64]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    is_crowd: NDArray[np.bool_]
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    dropped_boxes: Mapping[str, int]
    box_suspicion: str | None = None
    spare_categories: Mapping[int, str] = field(default_factory=dict)
    segmentations: Segmentations | None = None
    truth: GroundTruth | None = None
    windows: Windows | None = None
    tells_classes: bool = True
    split: str | None = None
    notes: tuple[str, ...] = ()
    set_numbers: NDArray[np.int64] | None = None

    def as_one_class(self) -> Self:
        """The same, with all categories taken for one, for what finds objects of any class."""
        return replace(
            self,
            labels=np.zeros_like(self.labels),
            class_names=(ANY_CLASS,),
            category_ids=(1,),
            spare_categories={},
            truth=None if self.truth is None else self.truth.as_one_class(),
            tells_classes=False,
        )

    def of_labels(self, labels: Sequence[int]) -> Self:
        """The same pictures with boxes and crowd regions of some classes alone.

        Args:
            labels: Each once; label k of the result is ``labels[k]`` here.
        """
        rows, new_labels = rows_of_labels(self.labels, labels)
        return replace(
            self,
            offsets=np.searchsorted(rows, self.offsets),
            boxes=self.boxes[rows],
            labels=new_labels,
            is_crowd=self.is_crowd[rows],
            class_names=tuple(self.class_names[label] for label in labels),
            category_ids=tuple(self.category_ids[label] for label in labels),
            spare_categories={
                new: self.spare_categories[label]
                for new, label in enumerate(labels)
                if label in self.spare_categories
            },
            segmentations=None if self.segmentations is None else self.segmentations.take(rows),
            truth=None if self.truth is None else self.truth.of_labels(labels),
        )

    @property
    def title(self) -> str:
        """What messages call them."""
        title = f"{self.path}" if self.split is None else f"{self.path} ({self.split})"
        if self.set_numbers is None:
            return title
        return f"{title} and {counted(int(self.set_numbers.max()), 'more data set')}"

    def __len__(self) -> int:
        """Number of pictures M."""
        return len(self.image_ids)

    @property
    def num_boxes(self) -> NDArray[np.int64]:
        """``(M,)`` number of boxes of each picture that are targets, that is without crowd regions."""
        counts = np.concatenate([[0], np.cumsum(~self.is_crowd, dtype=np.int64)])
        return np.diff(counts[self.offsets])

    def size_of(self, index: int) -> Size:
        """Size of picture ``index``, a position in ``0 .. M-1``."""
        height, width = self.sizes[index].tolist()
        return Size(height, width)

    def window_of(self, index: int) -> Window | None:
        """Of which part of a file's picture picture ``index`` is a tile; None where it is all of it."""
        return None if self.windows is None else self.windows[index]

    def targets_of(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Boxes ``(G, 4)`` and labels ``(G,)`` of picture ``index``, without crowd regions."""
        rows = slice(self.offsets[index], self.offsets[index + 1])
        is_target = ~self.is_crowd[rows]
        return self.boxes[rows][is_target], self.labels[rows][is_target]

    def segmentations_of(self, index: int, is_kept: NDArray[np.bool_]) -> Segmentations:
        """Segmentations of some targets of picture ``index``.

        Args:
            index: A position in ``0 .. M-1``.
            is_kept: ``(G,)`` which of the targets that `targets_of` gives.
        """
        if self.segmentations is None:
            raise ValueError(f"{self.path} was loaded without segmentations")
        rows = np.arange(self.offsets[index], self.offsets[index + 1])
        segmentations = self.segmentations.take(rows[~self.is_crowd[rows]][is_kept])
        window = self.window_of(index)
        return segmentations if window is None else segmentations.moved_into(window)

    def crowd_of(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Crowd regions ``(I, 4)`` and their labels ``(I,)`` of picture ``index``."""
        rows = slice(self.offsets[index], self.offsets[index + 1])
        is_crowd = self.is_crowd[rows]
        return self.boxes[rows][is_crowd], self.labels[rows][is_crowd]


def load_coco(
    path: Path, images: Path | None = None, *, with_masks: bool = False, with_truth: bool = False
) -> CocoAnnotations:
    """Read a COCO annotation file, as `load_annotations` does.

    Args:
        path: The file.
        images: Its pictures, for the command that errors advise; they are not looked at.
        with_masks: Likewise.
        with_truth: Likewise.
    """
    return load_annotations(CocoFile(path, images), with_masks=with_masks, with_truth=with_truth)


def load_annotations(
    source: AnnotationSource, *, with_masks: bool = False, with_truth: bool = False
) -> CocoAnnotations:
    """Read annotations, whatever their format.

    Annotations without ``iscrowd`` count as single objects.  A box is dropped when the file gives it a side
    under one pixel or when less than a pixel of it lies inside the picture; with masks also when no
    segmentation says which pixels are the object's.

    Args:
        source: Where they are.
        with_masks: Whether segmentations are read too.
        with_truth: Whether detections are to be scored with the annotations: keeps what is dropped, too.

    Raises:
        DataError: They cannot be read or break their format's structure; the message lists the problems. Or
            boxes are surely written in another form than COCO's.
    """
    with without_cycle_search(), doing(f"reading {source.path.name}", at_once=_is_large(source.path)):
        file = source.read(with_segmentations=with_masks)
        return _annotations_of(source, file, with_masks=with_masks, with_truth=with_truth)


def _is_large(path: Path) -> bool:
    """Whether a file takes the JSON reader seconds, in which no other thread runs."""
    return path.is_file() and path.stat().st_size > _LARGE_BYTES


def _annotations_of(
    source: AnnotationSource, file: AnnotationFile, *, with_masks: bool, with_truth: bool
) -> CocoAnnotations:
    images, annotations, categories = file.images, file.annotations, file.categories
    image_ids, names = images.column("id", ID), images.column("file_name", FILE_NAME)
    heights, widths = images.column("height", EDGE), images.column("width", EDGE)
    category_ids, class_names = categories.column("id", ID), categories.column("name", NAME)
    supercategories = categories.column("supercategory", ANYTHING)
    annotation_ids, boxes = annotations.column("id", ID), annotations.column("bbox", BOX)
    areas = annotations.column("area", AREA)  # only scores need it, but a fault should show at once
    owners, kinds = annotations.column("image_id", ID), annotations.column("category_id", ID)
    crowd_flags = annotations.column("iscrowd", FLAG)
    file.problems.raise_if_any()

    image_by_id, label_by_id = images.positions("id", image_ids), categories.positions("id", category_ids)
    images.positions("file_name", names)
    categories.positions("name", class_names)
    annotations.positions("id", annotation_ids)
    image_index = annotations.look_up("image_id", owners, image_by_id)
    labels = annotations.look_up("category_id", kinds, label_by_id)
    federated = read_federated(images, categories, label_by_id) if is_lvis(images) else None
    file.problems.raise_if_any()

    sizes = np.array([heights, widths], dtype=np.int32).T.copy()
    given_boxes = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    suspicion = None
    if not declares_coco_form(file.info):
        suspicion = refuse_foreign_boxes(source.path, given_boxes, sizes[image_index])
    clipped, is_kept, dropped = _clip_boxes(given_boxes, sizes[image_index])
    order = np.flatnonzero(is_kept)[np.argsort(image_index[is_kept], kind="stable")]
    is_crowd = np.array(crowd_flags, dtype=np.bool_)
    segmentations = None
    if with_masks:
        segmentations = annotations.segmentations(order, ~is_crowd[order], sizes[image_index[order]])
        file.problems.raise_if_any()
        has_mask = segmentations.covers_something | is_crowd[order]
        if not has_mask.all():
            dropped[NO_MASK] = int((~has_mask).sum())
            order, segmentations = order[has_mask], segmentations.take(np.flatnonzero(has_mask))
    truth = None
    if with_truth:
        truth = GroundTruth(
            ids=np.array(annotation_ids, dtype=np.int64),
            picture_indices=image_index,
            labels=labels,
            boxes=given_boxes,
            areas=np.array(areas, dtype=np.float64),  # None becomes NaN
            is_crowd=is_crowd,
            masks=annotations.packed_masks(sizes[image_index]) if with_masks else None,
            federated=federated,
            places=annotations.places(),
        )
        file.problems.raise_if_any()
    counts = np.bincount(image_index[order], minlength=len(names))
    return CocoAnnotations(
        path=source.path,
        split=source.split,
        fingerprint=file.fingerprint,
        image_ids=np.array(image_ids, dtype=np.int64),
        file_names=np.array(names, dtype=np.str_),
        sizes=sizes,
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        boxes=clipped[order],
        labels=labels[order],
        is_crowd=is_crowd[order],
        class_names=tuple(class_names),
        category_ids=tuple(category_ids),
        dropped_boxes=dropped,
        box_suspicion=suspicion,
        spare_categories=spare_categories(
            class_names, supercategories, np.isin(np.arange(len(class_names)), labels).tolist()
        ),
        segmentations=segmentations,
        truth=truth,
        notes=(*file.notes, *([] if federated is None else [LVIS_NOTE])),
    )


def _clip_boxes(
    boxes: NDArray[np.float64], sizes: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], dict[str, int]]:
    """Turn ``[x, y, width, height]`` into clipped corners; say which rows stay, and count the others."""
    edges = sizes[:, ::-1].astype(np.float64)
    top_left = np.clip(boxes[:, :2], 0, edges)
    bottom_right = np.clip(boxes[:, :2] + boxes[:, 2:], 0, edges)
    is_small = boxes[:, 2:].min(axis=1) < 1
    is_outside = ~is_small & ((bottom_right - top_left).min(axis=1) < 1 - INSIDE_TOLERANCE)
    counts = {TOO_SMALL: int(is_small.sum()), OUTSIDE: int(is_outside.sum())}
    dropped = {reason: count for reason, count in counts.items() if count}
    return (
        np.concatenate([top_left, bottom_right], axis=1).astype(np.float32),
        ~is_small & ~is_outside,
        dropped,
    )
