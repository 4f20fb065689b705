"""Annotations, COCO's or those of another format, in arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.ground_truth import GroundTruth, rows_of_labels
from hrdet_cli.engine.data.segmentations import Segmentations
from hrdet_cli.engine.data.windows import Windows
from hrdet_cli.engine.geometry import Size, Window
from hrdet_cli.wording import counted

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

    def num_boxes_of(self, index: int) -> int:
        """The same of picture ``index`` alone, without counting all."""
        rows = slice(self.offsets[index], self.offsets[index + 1])
        return int(np.count_nonzero(~self.is_crowd[rows]))

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
