"""What a mask branch is to learn: masks of the ground truth, cut out for the regions that drew them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from hrdet_cli.engine.torchvision_operators import roi_align

_SMALLEST_SIDE_PIXELS = 1e-3
_BORDER_CELLS = 1


def mask_targets(regions: Tensor, boxes: Tensor, masks: Tensor, *, num_cells: int) -> Tensor:
    """Which cells of each region belong to the object in it.

    mmdetection's rule (``BitmapMasks.crop_and_resize``): RoIAlign with about one sample for each cell of the
    mask, and one half or more is inside. Its masks are bitmaps of the canvas, ours lie over their boxes: the
    cells that it looks at are pixels there, and 1 / M of the box's sides here.

    Args:
        regions: ``(R, 4)`` float32 in canvas pixels, of about the size of their objects' boxes: time grows
            with the number of samples.
        boxes: ``(R, 4)`` float32, of the ground truth that each region drew.
        masks: ``(R, M, M)`` uint8, these objects' masks, each in the frame of its box.
        num_cells: m, cells along a side of the result.

    Returns:
        ``(R, m, m)`` bool.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=_SMALLEST_SIDE_PIXELS)
    in_frame = (regions - boxes[:, :2].repeat(1, 2)) / sides.repeat(1, 2) * masks.shape[-1]
    # RoIAlign repeats the outermost cells beyond the edge, but beyond its box there is nothing of an object.
    framed = F.pad(masks, (_BORDER_CELLS,) * 4)[:, None].to(regions.dtype)
    index = torch.arange(len(regions), device=regions.device, dtype=regions.dtype)
    rois = torch.cat((index[:, None], in_frame + _BORDER_CELLS), dim=1)
    shares = roi_align(framed, rois, scale=1.0, num_cells=num_cells, sampling_ratio=0, aligned=True)
    return (shares >= 0.5).squeeze(1)
