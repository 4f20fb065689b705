"""What kind of thing or stuff does each pixel belong to? The semantic branch of Hybrid Task Cascade.

Chen et al., https://arxiv.org/abs/1901.07518, section 3.2 and figure 3, with mmdetection's choices
(``FusedSemanticHead``): levels are resized with aligned corners, in front of their 1x1 convolutions.

Names of tensors: ``laterals.I.weight``, ``convs.I.weight``, ``embedding.weight``, ``logits.weight``.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.models.boxes.arithmetic import at_least_float32
from hrdet_cli.engine.models.boxes.denominators import denominator
from hrdet_cli.engine.models.normed_convs import ConvTower, NormedConv
from hrdet_cli.engine.models.pyramid import Pyramid, SemanticMaps
from hrdet_cli.engine.norm.valid_area import ValidArea, without_padding
from hrdet_cli.engine.numerics import interpolate
from hrdet_cli.engine.structures import LABEL_MAP_STRIDE, UNLABELLED, Size


class SemanticBranch(nn.Module):
    """All levels at the size of one, added up; 3x3 convolutions, and two 1x1 ones for features and kinds."""

    def __init__(
        self, *, channels: int, strides: tuple[int, ...], num_labels: int, num_convs: int, loss_weight: float
    ) -> None:
        """Create the branch with weights of He et al. and zero biases.

        Args:
            channels: Of the pyramid and of every layer.
            strides: Of the pyramid's levels, one of them 8.
            num_labels: Kinds of pixels.
            num_convs: 3x3 convolutions.
            loss_weight: Factor of the loss.
        """
        super().__init__()
        self.laterals = nn.ModuleList(NormedConv(channels, channels, kernel_size=1) for _ in strides)
        self.convs = ConvTower(channels, channels=channels, num_convs=num_convs)
        self.embedding = NormedConv(channels, channels, kernel_size=1)
        self.logits = nn.Conv2d(channels, num_labels, kernel_size=1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)
        self.level = strides.index(LABEL_MAP_STRIDE)
        self.loss_weight = loss_weight

    def forward(self, pyramid: Pyramid) -> SemanticMaps:
        """Look at all levels together."""
        finest = pyramid.levels[self.level]
        size = Size(finest.shape[-2], finest.shape[-1])
        hidden = torch.zeros_like(finest)
        for index, (lateral, level) in enumerate(zip(self.laterals, pyramid.levels, strict=True)):
            resized = level if index == self.level else resized_to(level, size, pyramid.area)
            hidden = hidden + F.relu(cast("NormedConv", lateral)(resized, pyramid.area))
        (hidden,) = self.convs([hidden], pyramid.area)
        features = F.relu(self.embedding(hidden, pyramid.area))
        return SemanticMaps(hidden=hidden, features=features, stride=LABEL_MAP_STRIDE)

    def loss(self, pyramid: Pyramid, label_maps: Tensor | None) -> Tensor:
        """Cross entropy of labelled pixels, weighted, divided by the number of all.

        Unlabelled ones are counted too, as mmdetection does, and so is padding where it is not hidden.

        Args:
            pyramid: Of N pictures, with what ``forward`` made of it.
            label_maps: ``(N, H / 8, W / 8)`` uint8.

        Returns:
            Scalar; without labelled pixels it is 0, with a gradient of 0.

        Raises:
            ValueError: The pyramid has no semantic maps, or there are no label maps.
        """
        if pyramid.semantic is None:
            raise ValueError("the pyramid has no semantic maps: its head did not prepare it")
        if label_maps is None:
            raise ValueError("a semantic branch cannot be trained without label maps")
        logits = at_least_float32(self.logits(pyramid.semantic.hidden))
        losses = F.cross_entropy(logits, label_maps.long(), ignore_index=UNLABELLED, reduction="none")
        is_counted = torch.ones_like(losses[:, None])
        num_pixels = denominator(without_padding(is_counted, pyramid.area).sum(), what="number of pixels")
        return losses.sum() / num_pixels * self.loss_weight


def resized_to(level: Tensor, size: Size, area: ValidArea | None) -> Tensor:
    """A level at the size of another, bilinear with aligned corners: those of the canvas, or of each picture.

    Args:
        level: ``(N, C, h, w)``.
        size: Of the other level.
        area: Where the pictures are, whose corners are aligned then; beyond them the result is anything.

    Returns:
        ``(N, C, size.height, size.width)``.
    """
    if area is None:
        return interpolate(level, size=(size.height, size.width), mode="bilinear", align_corners=True)
    values = at_least_float32(level)
    ends = area.cells_of(level).sizes - 1
    other_ends = area.cells_of(level.new_empty(1, 1, size.height, size.width)).sizes - 1
    rows, columns = (
        _positions(count, ends[:, axis], other_ends[:, axis], level.shape[axis - 2] - 1).to(values.dtype)
        for axis, count in enumerate((size.height, size.width))
    )
    shape = (len(level), size.height, size.width)
    grid = torch.stack((columns[:, None].expand(shape), rows[:, :, None].expand(shape)), dim=-1)
    return F.grid_sample(values, grid, mode="bilinear", align_corners=True).to(level.dtype)


def _positions(count: int, ends: Tensor, other_ends: Tensor, end: int) -> Tensor:
    """``(N, count)`` float64: where along a level to look, -1 at its first cell and 1 at its last one.

    Args:
        count: Cells along the other level.
        ends: ``(N,)`` the last cell of each picture along this level.
        other_ends: Likewise along the other one.
        end: The last cell of this level.
    """
    steps = ends / other_ends.clamp(min=1).double()
    cells = torch.arange(count, device=ends.device) * steps[:, None]
    return cells * (2 / max(end, 1)) - 1
