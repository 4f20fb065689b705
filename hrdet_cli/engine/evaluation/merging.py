"""One set of detections of a picture from those of several views of it: tiles, scales, mirrored ones.

What was found in a single view stays as it is.  Else non-maximum suppression, class by class, over the
detections of all views keeps the best, as in detectron2's ``GeneralizedRCNNWithTTA._merge_detections`` and
mmdetection 3's ``DetTTAModel``.  (detectron2 then computes the masks of those that were kept, in all views,
and averages them; here a detection keeps the mask of the view in which it was found.)

A tile shows only a part of an object that lies across its edge.  A box that ends at an edge where the picture
goes on is called cut, and gives way to others: it is left out if more than half of it lies in one box of its
class that is not cut, or in a better one that is.  Where tiles overlap by an object's size, some tile shows
all of it, and its parts in others give way however sure the detector was of them.  (SAHI, arXiv:2202.06934,
compares all boxes by their overlap with the smaller one, whether a tile cut them or not.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrdet_cli.engine.data.mask_runs import MaskRuns
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.models.boxes.nms import keep_after_nms

MOST_COVERED = 0.5
"""Of a cut box in another one's; the share at which SAHI takes two boxes for one object."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewMerging:
    """Merges detections of views.

    Attributes:
        nms_iou: A box that overlaps a better one of its class by more than this is dropped.
        max_detections: Best ones that are kept of a picture that each view shows whole. Of one in tiles all
            are kept.
    """

    nms_iou: float
    max_detections: int

    def merge_all(self, views: Iterable[PictureDetections]) -> list[PictureDetections]:
        """Those of any number of pictures, of each in one or several views, in the order of first views."""
        by_picture: dict[int, list[PictureDetections]] = {}
        for view in views:
            by_picture.setdefault(view.image_id, []).append(view)
        return [self.merge(of_picture) for of_picture in by_picture.values()]

    def merge(self, views: Sequence[PictureDetections]) -> PictureDetections:
        """Those of one picture, in at least one view of it."""
        if len(views) == 1:
            return views[0]
        found = _best_first(_joined(views))
        rows = self._kept(found).nonzero().squeeze(1)
        if all(view.is_cut is None for view in views):
            rows = rows[: self.max_detections]
        return replace(found.take(rows), is_cut=None)

    def _kept(self, found: PictureDetections) -> Tensor:
        """``(D,)`` bool, of detections that come best first."""
        is_cut = found.cut_boxes
        kept = torch.zeros_like(is_cut)
        whole = (~is_cut).nonzero().squeeze(1)
        whole = whole[found.labels[whole].argsort(stable=True)]
        kept[whole] = keep_after_nms(
            found.boxes[whole],
            found.scores[whole],
            lengths=found.labels[whole].bincount().tolist(),
            max_iou=self.nms_iou,
        )
        for label in sorted(set(found.labels[is_cut].tolist())):
            is_of_class = found.labels == label
            cut = (is_cut & is_of_class).nonzero().squeeze(1)
            others = found.boxes[kept & is_of_class].numpy()
            kept[cut] = torch.from_numpy(_not_covered(found.boxes[cut].numpy(), others))
        return kept


def _joined(views: Sequence[PictureDetections]) -> PictureDetections:
    """The detections of one view after the other."""
    masks = [view.masks for view in views if view.masks is not None]
    counts = tuple(chain.from_iterable(of_view.counts for of_view in masks))
    return PictureDetections(
        image_id=views[0].image_id,
        boxes=torch.cat([view.boxes for view in views]),
        scores=torch.cat([view.scores for view in views]),
        labels=torch.cat([view.labels for view in views]),
        masks=MaskRuns(masks[0].size, counts) if masks else None,
        is_cut=torch.cat([view.cut_boxes for view in views]),
    )


def _best_first(found: PictureDetections) -> PictureDetections:
    """In an order that does not depend on that of the views, which depends on the number of processes."""
    x1, y1, x2, y2 = found.boxes.numpy().T
    return found.take(torch.from_numpy(np.lexsort((y2, x2, y1, x1, found.labels, -found.scores))))


def _not_covered(cut: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.bool_]:
    """``(C,)`` which cut boxes stay, of one class and best first; ``(W, 4)`` others that stay in any case."""
    kept = np.concatenate([others, cut])  # the first `num_kept` rows are
    num_kept = len(others)
    stays = np.zeros(len(cut), dtype=np.bool_)
    for row, box in enumerate(cut):
        sides = np.minimum(kept[:num_kept, 2:], box[2:]) - np.maximum(kept[:num_kept, :2], box[:2])
        covered = sides.clip(min=0).prod(axis=1)
        stays[row] = not (covered > MOST_COVERED * (box[2:] - box[:2]).prod()).any()
        if stays[row]:
            kept[num_kept] = box
            num_kept += 1
    return stays
