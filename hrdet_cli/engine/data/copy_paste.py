"""Copy-paste: objects of another picture, put onto a picture where they lie in their own.

Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation" (CVPR 2021),
section 3: another picture is placed on its own (which is to be large-scale jitter), a random subset of its
objects is put over this one without blending, and what they hide is taken from its masks and boxes. An object
of which too little is left is no target; the rule is that of ``CopyPaste`` in mmdetection
(``mmdet/datasets/transforms/transforms.py``): an edge of its box has moved by more than 10 pixels, and no
more than 300 pixels of it are seen.

Otherwise than there, objects are cut at the edge of the picture that they are put onto, and do not reach into
its padding.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from hrdet_cli.engine.data.batch import Sample
from hrdet_cli.engine.data.object_bitmaps import Bitmap, box_around, draw_bitmap, frame_of_bitmap
from hrdet_cli.engine.data.segmentations import Segmentations
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.semantic_labels import LABEL_MAP_STRIDE

_MOST_MOVED_PIXELS = 10
_FEWEST_SEEN_PIXELS = 300


@dataclass(frozen=True, slots=True, eq=False)
class DrawnPicture:
    """A placed picture, with what is needed to draw its objects once more.

    Attributes:
        sample: With masks.
        segmentations: Of its targets, in pixels of the original picture.
    """

    sample: Sample
    segmentations: Segmentations

    def bitmap_of(self, row: int) -> Bitmap:
        """``(h, w)`` the pixels of one of its objects."""
        record = self.sample.record
        return draw_bitmap(self.segmentations.take(np.array([row])), record.original, record.placement)


@dataclass(frozen=True, slots=True, eq=False)
class _Objects:
    """Boxes ``(G, 4)``, labels ``(G,)`` and masks ``(G, M, M)`` of targets."""

    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: NDArray[np.uint8]

    @classmethod
    def of(cls, sample: Sample) -> "_Objects":
        if sample.masks is None:
            raise ValueError(f"{sample.record.file_name} has no masks, and objects are pasted by theirs")
        return cls(sample.boxes.numpy().copy(), sample.labels.numpy(), sample.masks.numpy().copy())

    def take(self, rows: list[int]) -> "_Objects":
        chosen = np.array(rows, dtype=np.int64)
        return _Objects(self.boxes[chosen], self.labels[chosen], self.masks[chosen])


def paste_objects(onto: DrawnPicture, source: DrawnPicture, generator: np.random.Generator) -> Sample:
    """Put some objects of a picture onto another.

    Args:
        onto: What they are put onto; it is not changed.
        source: Where they are taken from.
        generator: Draws which come along: each with a chance of one half, which makes all subsets equal.

    Returns:
        ``onto``'s sample with the pixels, the targets and the labels of what was pasted.
    """
    sample = onto.sample
    height, width = sample.pixels.shape[1:]
    covered = np.zeros((height, width), dtype=np.bool_)
    pasted: dict[int, Bitmap] = {}
    for row in np.flatnonzero(generator.random(len(source.sample.labels)) < 0.5).tolist():
        bitmap = _fitted(source.bitmap_of(row), Size(height, width))
        if bitmap.any():
            pasted[row] = bitmap
            covered |= bitmap
    hidden, cut = _hide(onto, covered), _cut(_Objects.of(source.sample), pasted)
    num_hidden = len(sample.labels) - len(hidden.labels)
    words = f"{len(pasted)} of {len(source.sample.labels)} objects pasted, {num_hidden} hidden"
    return replace(
        sample,
        pixels=_over(sample.pixels, source.sample.pixels, torch.from_numpy(covered)),
        semantic=_over_labels(sample.semantic, source.sample.semantic, covered),
        boxes=torch.from_numpy(np.concatenate([hidden.boxes, cut.boxes])),
        labels=torch.from_numpy(np.concatenate([hidden.labels, cut.labels])),
        masks=torch.from_numpy(np.concatenate([hidden.masks, cut.masks])),
        record=replace(sample.record, changes=(*sample.record.changes, words)),
    )


def _fitted(bitmap: Bitmap, size: Size) -> Bitmap:
    """Cut or padded, at the right and at the bottom."""
    fitted = np.zeros((size.height, size.width), dtype=np.bool_)
    part = bitmap[: size.height, : size.width]
    fitted[: part.shape[0], : part.shape[1]] = part
    return fitted


def _over(pixels: torch.Tensor, source: torch.Tensor, covered: torch.Tensor) -> torch.Tensor:
    """Pixels ``(3, h, w)``, and those of a source where they are covered, which is inside of both."""
    height, width = (min(pixels.shape[axis], source.shape[axis]) for axis in (1, 2))
    changed = pixels.clone()
    common = changed[:, :height, :width]
    common.copy_(torch.where(covered[:height, :width], source[:, :height, :width], common))
    return changed


def _over_labels(
    labels: torch.Tensor | None, source: torch.Tensor | None, covered: Bitmap
) -> torch.Tensor | None:
    """Likewise of label maps, which have every eighth pixel of every eighth row."""
    if labels is None or source is None:
        return None
    coarse = torch.from_numpy(np.ascontiguousarray(covered[::LABEL_MAP_STRIDE, ::LABEL_MAP_STRIDE]))
    return _over(labels[None], source[None], coarse)[0]


def _hide(picture: DrawnPicture, covered: Bitmap) -> _Objects:
    """The objects of a picture as far as they are still seen."""
    objects, kept = _Objects.of(picture.sample), []
    for row, box in enumerate(objects.boxes):
        x1, y1, x2, y2 = np.array([*np.floor(box[:2]), *np.ceil(box[2:])], dtype=np.int64).tolist()
        if covered[y1:y2, x1:x2].any():
            bitmap = picture.bitmap_of(row)
            seen = bitmap & ~covered
            if not seen.any():
                continue
            if (bitmap & covered).any():
                new_box = box_around(seen)
                has_changed = np.abs(new_box - box).max() > _MOST_MOVED_PIXELS
                if has_changed and seen.sum() <= _FEWEST_SEEN_PIXELS:
                    continue
                objects.boxes[row], objects.masks[row] = new_box, frame_of_bitmap(seen, new_box)
        kept.append(row)
    return objects.take(kept)


def _cut(objects: _Objects, pasted: dict[int, Bitmap]) -> _Objects:
    """Pasted objects, cut at the edges of the picture that they are put onto."""
    for row, bitmap in pasted.items():
        height, width = bitmap.shape
        if objects.boxes[row, 2] > width or objects.boxes[row, 3] > height:
            objects.boxes[row] = box_around(bitmap)
            objects.masks[row] = frame_of_bitmap(bitmap, objects.boxes[row])
    return objects.take(list(pasted))
