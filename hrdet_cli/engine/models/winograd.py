"""3x3 convolutions with half the multiplications, along rows.

Four neighbours of a row that a kernel of three covers take twelve products. Winograd's F(4, 3) has six: the
six features that the four read are turned into values at six points (0, 1, -1, 2, -2 and infinity), so are
the three weights, and their products at each point are turned back into the four (Lavin and Gray, Fast
Algorithms for Convolutional Neural Networks, arXiv:1509.09308). Between rows, and over the channels, each
point is three products of matrices, one for each row of the kernel.

The results are those of a direct convolution but for rounding: some three times its error.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hrdet_cli.engine.numerics import without_autocast

_FEATURES_TO_POINTS = torch.tensor(
    [
        [4.0, 0.0, -5.0, 0.0, 1.0, 0.0],
        [0.0, -4.0, -4.0, 1.0, 1.0, 0.0],
        [0.0, 4.0, -4.0, -1.0, 1.0, 0.0],
        [0.0, -2.0, -1.0, 2.0, 1.0, 0.0],
        [0.0, 2.0, -1.0, -2.0, 1.0, 0.0],
        [0.0, 4.0, 0.0, -5.0, 0.0, 1.0],
    ],
    dtype=torch.float64,
    device="cpu",
)
_WEIGHTS_TO_POINTS = torch.tensor(
    [
        [1 / 4, 0.0, 0.0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0.0, 0.0, 1.0],
    ],
    dtype=torch.float64,
    device="cpu",
)
_POINTS_TO_OUTPUTS = torch.tensor(
    [
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.0],
        [0.0, 1.0, -1.0, 2.0, -2.0, 0.0],
        [0.0, 1.0, 1.0, 4.0, 4.0, 0.0],
        [0.0, 1.0, -1.0, 8.0, -8.0, 1.0],
    ],
    dtype=torch.float64,
    device="cpu",
)
_NUM_POINTS, _NUM_READ, _NUM_OUTPUTS = 6, 6, 4
_POINT_OF_BIAS = 1
"""A constant there is the same constant in all four outputs: the column of ``_POINTS_TO_OUTPUTS`` is ones."""
_MIN_CHANNELS_IN, _MIN_CHANNELS_OUT, _MIN_CELLS = 256, 64, 1600
"""Of what takes less time this way, as ``tests/benchmarks/wide_convolutions.py --layers`` measures it."""
_CELLS_OF_BAND = 2048
"""Of a map that is worked on at once, so that the values at its points stay in the caches, and small."""


class Conv2d(nn.Conv2d):
    """A convolution that is computed by ``convolve_3x3`` where that takes less time: a wide one on a CPU."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - as the base
        """Map ``(N, C, H, W)`` as the base class does, but for rounding."""
        if self._is_wide and _is_large_on_cpu(input):
            return convolve_3x3(input, self.weight, self.bias)
        return super().forward(input)

    @property
    def _is_wide(self) -> bool:
        return (
            (self.kernel_size, self.stride, self.padding) == ((3, 3), (1, 1), (1, 1))
            and (self.dilation, self.groups, self.padding_mode) == ((1, 1), 1, "zeros")
            and self.in_channels >= _MIN_CHANNELS_IN
            and self.out_channels >= _MIN_CHANNELS_OUT
        )


def _is_large_on_cpu(features: Tensor) -> bool:
    return (
        features.device.type == "cpu"
        and features.dtype == torch.float32
        and features.dim() == 4
        and features.shape[2] * features.shape[3] >= _MIN_CELLS
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


def convolve_3x3(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """What ``torch.nn.functional.conv2d`` computes with a padding of 1, but for rounding.

    Args:
        features: ``(N, C, H, W)``.
        weight: ``(D, C, 3, 3)`` of the same dtype.
        bias: ``(D,)``, or None.

    Returns:
        ``(N, D, H, W)``, channels-last. Gradients of gradients cannot be taken.
    """
    convolved: Tensor = _Convolution.apply(features, weight, bias)
    return convolved


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(features, weight)
        return _convolve(features, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight = ctx.saved_tensors
        of_features, of_weight, of_bias = ctx.needs_input_grad
        mirrored = weight.flip(2, 3).transpose(0, 1)
        with without_autocast("cpu"):
            return (
                _convolve(gradient, mirrored, None) if of_features else None,
                _gradient_of_weight(features, gradient) if of_weight else None,
                gradient.sum((0, 2, 3)) if of_bias else None,
            )


def _convolve(features: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    of_points = _WEIGHTS_TO_POINTS.to(weight.dtype)
    kernels = torch.einsum("pk,dcyk->ypcd", of_points, weight).contiguous()
    shape = (len(features), len(weight), *features.shape[2:])
    outputs = torch.empty(
        shape, dtype=features.dtype, device=features.device, memory_format=torch.channels_last
    )
    by_place = outputs.permute(0, 2, 3, 1)
    for band in _bands_of(features):
        read = _points_of_features(features, band)
        first, *others = zip(_rows_read(read, band), kernels, strict=True)
        sums = torch.bmm(*first)
        for of_row, kernel in others:
            sums.baddbmm_(of_row, kernel)
        if bias is not None:
            sums[_POINT_OF_BIAS] += bias
        convolved = sums.view(_NUM_POINTS, band.num_rows, -1, len(weight))
        for number, put_out in enumerate(_combine(_POINTS_TO_OUTPUTS, convolved)):
            columns = by_place[band.picture, band.top : band.bottom, number::_NUM_OUTPUTS]
            columns.copy_(put_out[:, : columns.shape[1]])
    return outputs


def _gradient_of_weight(features: Tensor, gradient: Tensor) -> Tensor:
    of_kernels = gradient.new_zeros(3, _NUM_POINTS, gradient.shape[1], features.shape[1])
    for band in _bands_of(features):
        read, put_out = _points_of_features(features, band), _points_of_gradient(gradient, band)
        by_channel = put_out.flatten(1, 2).transpose(1, 2)
        for of_kernel, of_row in zip(of_kernels, _rows_read(read, band), strict=True):
            of_kernel.baddbmm_(by_channel, of_row)
    return torch.einsum("pk,ypdc->dcyk", _WEIGHTS_TO_POINTS.to(of_kernels.dtype), of_kernels)


class _Band(NamedTuple):
    """Rows of a picture's map."""

    picture: int
    top: int
    bottom: int

    @property
    def num_rows(self) -> int:
        return self.bottom - self.top


def _bands_of(features: Tensor) -> Iterator[_Band]:
    num_pictures, _, height, width = features.shape
    num_rows = max(1, _CELLS_OF_BAND // width)
    for picture, top in product(range(num_pictures), range(0, height, num_rows)):
        yield _Band(picture, top, min(height, top + num_rows))


def _points_of_features(features: Tensor, band: _Band) -> Tensor:
    """``(6, bottom - top + 2, W / 4, C)``: the band's, and those of the rows next to it."""
    height, width = features.shape[2:]
    rows = features[band.picture, :, max(0, band.top - 1) : band.bottom + 1].permute(1, 2, 0)
    above, below = int(band.top == 0), int(band.bottom == height)
    padded = F.pad(rows, (0, 0, 1, 1 + -width % _NUM_OUTPUTS, above, below))
    return _combine(_FEATURES_TO_POINTS, padded.unfold(1, _NUM_READ, _NUM_OUTPUTS).movedim(-1, 0))


def _rows_read(points: Tensor, band: _Band) -> Iterator[Tensor]:
    """What each of a kernel's three rows reads of a band's points: ``(6, (bottom - top) * W / 4, C)``."""
    for row in range(3):
        yield points[:, row : row + band.num_rows].flatten(1, 2)


def _points_of_gradient(gradient: Tensor, band: _Band) -> Tensor:
    """``(6, bottom - top, W / 4, D)``."""
    rows = gradient[band.picture, :, band.top : band.bottom].permute(1, 2, 0)
    padded = F.pad(rows, (0, 0, 0, -gradient.shape[3] % _NUM_OUTPUTS))
    return _combine(_POINTS_TO_OUTPUTS.T, padded.unfold(1, _NUM_OUTPUTS, _NUM_OUTPUTS).movedim(-1, 0))


def _combine(matrix: Tensor, values: Tensor) -> Tensor:
    """Sums of what the first dimension has, weighted by each row of a matrix."""
    sums = torch.mm(matrix.to(values.dtype), values.reshape(len(values), -1))
    return sums.view(-1, *values.shape[1:])
