"""The values that travel through the engine, and the one box convention they all follow.

**Boxes** are ``(x1, y1, x2, y2)`` in pixels, float32, on continuous coordinates: pixel ``i`` covers
``[i, i + 1)``, so a box's width is ``x2 - x1`` and the box around a whole picture of width W is
``(0, 0, W, H)``.  COCO's ``[x, y, width, height]`` becomes ``(x, y, x + width, y + height)``; nothing adds
or subtracts one.

**Labels** are class indices ``0 .. K-1`` in the order of the annotation file's categories; the background,
where a classifier needs it, is index K, the last.

**Shapes** in the engine's docstrings: N images, C channels, H W pixels, L levels, A anchors, R regions,
G ground-truth boxes, D detections, K classes, M or m cells along a side of a mask.

Number of rows G and D are fixed per batch; ``is_valid`` says which rows are real.  Padding rows hold zeros.

**Masks** are as many cells a side for every object, small or large, laid over its box: cell ``(row, column)``
of M covers that part of the box which lies between ``row / M`` and ``(row + 1) / M`` of its height, and of
its width likewise.  So they take the same little room whatever the canvas, and move with their boxes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.semantic_labels import LABEL_MAP_STRIDE, UNLABELLED

__all__ = [
    "LABEL_MAP_STRIDE",
    "UNLABELLED",
    "Candidates",
    "ClassRows",
    "Detections",
    "ImageBatch",
    "Size",
    "Targets",
]


@dataclass(frozen=True, slots=True)
class ImageBatch:
    """N pictures in the top left corners of one canvas.

    Attributes:
        pixels: ``(N, 3, H, W)`` uint8, RGB, zero outside the pictures; channels last in memory.
        sizes: ``(N, 2)`` int64, height and width of each picture inside the canvas.
        keys: ``(N,)`` int64, the random key of each picture; every random choice the model makes for a
            picture is a function of its key, so that it does not depend on the batch or the process it is in.
    """

    pixels: Tensor
    sizes: Tensor
    keys: Tensor

    @property
    def canvas(self) -> Size:
        """Size of the canvas all pictures share."""
        return Size(self.pixels.shape[-2], self.pixels.shape[-1])

    def to(self, device: torch.device) -> Self:
        """Copy to a device, to a GPU without waiting where the memory is pinned."""
        return type(self)(*(_copied(values, device) for values in (self.pixels, self.sizes, self.keys)))


@dataclass(frozen=True, slots=True)
class Targets:
    """Ground truth of N pictures, padded to G rows.

    Attributes:
        boxes: ``(N, G, 4)`` float32 in canvas pixels.
        labels: ``(N, G)`` int64 in ``0 .. K-1``.
        is_valid: ``(N, G)`` bool; False in padding rows.
        masks: ``(N, G, M, M)`` uint8, 1 where the object is and 0 elsewhere in its box; None where nobody
            asked for them.
        semantic: ``(N, H / 8, W / 8)`` uint8, what kind of thing or stuff every eighth pixel of every eighth
            row belongs to, ``UNLABELLED`` where nobody says; None where nobody asked for it.
    """

    boxes: Tensor
    labels: Tensor
    is_valid: Tensor
    masks: Tensor | None = None
    semantic: Tensor | None = None

    def to(self, device: torch.device) -> Self:
        """Copy to a device, to a GPU without waiting where the memory is pinned."""
        return self._each(lambda values: _copied(values, device))

    def pin_memory(self) -> Self:
        """Copy into page-locked memory."""
        return self._each(Tensor.pin_memory)

    def _each(self, copy: Callable[[Tensor], Tensor]) -> Self:
        masks = None if self.masks is None else copy(self.masks)
        semantic = None if self.semantic is None else copy(self.semantic)
        return type(self)(copy(self.boxes), copy(self.labels), copy(self.is_valid), masks, semantic)


def _copied(values: Tensor, device: torch.device) -> Tensor:
    """On a device; the host waits for what it gets itself."""
    return values.to(device, non_blocking=device.type != "cpu")


@dataclass(frozen=True, slots=True)
class Candidates:
    """What a head makes of R places in each of N pictures, before any is selected.

    Attributes:
        boxes: ``(N, R, K, 4)`` float32 in canvas pixels, one for each class, or ``(N, R, 1, 4)``, one for all
            of them; not clipped.
        scores: ``(N, R, K)`` float32 in [0, 1]; 0 in padding rows, and for a class that is not up for
            selection at a place.
    """

    boxes: Tensor
    scores: Tensor


@dataclass(frozen=True, slots=True)
class Detections:
    """What a detector found in N pictures, best first, padded to D rows.

    Attributes:
        boxes: ``(N, D, 4)`` float32 in canvas pixels, clipped to the picture.
        scores: ``(N, D)`` float32 in [0, 1], descending; 0 in padding rows.
        labels: ``(N, D)`` int64 in ``0 .. K-1``.
        is_valid: ``(N, D)`` bool; False in padding rows.
        masks: ``(N, D, m, m)`` float32 in [0, 1], how sure the detector is that a cell of the box belongs to
            the object; None where it finds boxes alone.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    is_valid: Tensor
    masks: Tensor | None = None

    def cpu(self) -> Self:
        """Copy to host memory."""
        masks = None if self.masks is None else self.masks.cpu()
        return type(self)(self.boxes.cpu(), self.scores.cpu(), self.labels.cpu(), self.is_valid.cpu(), masks)


@dataclass(frozen=True, slots=True)
class ClassRows:
    """How the rows of a layer, one for each of its outputs, are shared out among K classes.

    Attributes:
        per_class: Rows of each class.
        others: Rows of none, such as the background's.
    """

    per_class: int
    others: int = 0

    def num_rows(self, num_classes: int) -> int:
        """Rows of a layer for so many classes."""
        return self.per_class * num_classes + self.others
