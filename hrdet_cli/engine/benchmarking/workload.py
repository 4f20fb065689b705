"""The training step that is measured: a network with random weights, pictures of noise, and a loss.

All of it is a function of names, sizes and ranks, so that every process can make its own part, and one
process can make all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.models.backbones.resnet import ResNet

NETWORK_NAMES = (*(f"hrnet-{width}" for width in HRNET_CONFIGS), "resnet-50")

SIDE_DIVISOR_PIXELS = 32
"""Sides of pictures are multiples of it: of the networks' largest stride."""

_SPOTS_PIXELS = (1, 8, 32)


@dataclass(frozen=True, slots=True)
class Workload:
    """One training step over several processes, each with one picture.

    Attributes:
        network: One of :data:`NETWORK_NAMES`.
        sizes: Size of each process's picture, by rank.
    """

    network: str
    sizes: tuple[Size, ...]

    def build_network(self) -> HRNet | ResNet:
        """The network in training mode, with plain BatchNorm; the same weights on every process."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            if self.network == "resnet-50":
                return ResNet(depth=50, frozen_stages=0)
            return HRNet(HRNET_CONFIGS[self.network.removeprefix("hrnet-")])

    def make_picture(self, rank: int) -> Tensor:
        """``(1, 3, H, W)`` float64 noise: spots of several sizes, a brightness and contrast of its own."""
        generator = torch.Generator().manual_seed(rank)
        size = self.sizes[rank]
        layers = [
            F.interpolate(
                _noise((1, 3, size.height // side, size.width // side), generator), scale_factor=side
            )
            for side in _SPOTS_PIXELS
        ]
        contrast = torch.rand((), generator=generator, dtype=torch.float64) + 0.5
        return contrast * torch.stack(layers).mean(dim=0) + 0.5 * _noise((1, 3, 1, 1), generator)

    def loss(self, features: Sequence[Tensor], strides: Sequence[int]) -> Tensor:
        """One process's part of the loss; the parts add up to the loss of the whole batch.

        On each level, a fixed random projection scores every pixel, and the loss of a score is that of a
        logistic classifier that wants none: the mean of ``softplus`` over the pixels of all processes.

        Args:
            features: ``(1, C, H / s, W / s)`` for each stride s.
            strides: Picture pixels per feature pixel.

        Returns:
            A scalar of the features' dtype.
        """
        parts = []
        for level, (x, stride) in enumerate(zip(features, strides, strict=True)):
            num_pixels = sum(size.num_pixels for size in self.sizes) // stride**2
            projection = _noise((x.shape[1],), torch.Generator().manual_seed(level)).to(x)
            scores = torch.einsum("nchw,c->nhw", x, projection / len(projection) ** 0.5)
            parts.append(F.softplus(scores).sum() / num_pixels)
        return torch.stack(parts).sum()


def convolutions_by_depth(workload: Workload) -> list[str]:
    """Names of the convolutions of a network, in the order in which they run.

    The network runs once on no device at all, which costs no arithmetic.
    """
    with torch.device("meta"):
        network = workload.build_network().eval()
    names: list[str] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda _module, _inputs, name=name: names.append(name))
    network(torch.empty((1, 3, SIDE_DIVISOR_PIXELS, SIDE_DIVISOR_PIXELS), device="meta"))
    return names


def _noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)
