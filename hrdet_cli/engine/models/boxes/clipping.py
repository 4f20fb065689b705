"""Cuts boxes off at the edges of their pictures."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxClipping:
    """What a picture leaves of boxes that reach out of it.

    Attributes:
        corners: With ``"exclusive"`` corners end up in [0, width], and nothing is left of a box outside.
            ``"inclusive"`` is for code that takes a box's far corner for its last pixel, as that of 2019, and
            keeps both corners in [0, width - 1]: in our coordinates, where that pixel ends one further on, x1
            in [0, width - 1] and x2 in [1, width]. A pixel is left of a box outside.
        min_side_pixels: A clipped box with a shorter side is not kept, nor is one without area.
    """

    corners: Literal["exclusive", "inclusive"] = "exclusive"
    min_side_pixels: float = 0.0

    def clip(self, boxes: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Cut boxes off at the edges of their pictures, not of the canvas.

        Args:
            boxes: ``(N, ..., 4)`` float32.
            sizes: ``(N, 2)`` int64, height and width of each picture.

        Returns:
            The clipped boxes ``(N, ..., 4)``, and which of them are to be kept, ``(N, ...)`` bool.
        """
        last_pixel = 1 if self.corners == "inclusive" else 0
        limits = sizes.flip(-1).to(boxes.dtype).view(-1, *[1] * (boxes.dim() - 2), 2)
        starts = boxes[..., :2].clamp(min=0).minimum(limits - last_pixel)
        ends = boxes[..., 2:].clamp(min=last_pixel).minimum(limits)
        sides = ends - starts
        is_long = sides >= self.min_side_pixels if self.min_side_pixels > 0 else sides > 0
        return torch.cat((starts, ends), dim=-1), is_long.all(dim=-1)
