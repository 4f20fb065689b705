"""HRNetV2, the high-resolution network.

Wang et al., Deep High-Resolution Representation Learning for Visual Recognition, arXiv:1908.07919, section 3.
A stem brings the picture to stride 4; from then on that resolution is never left.  Stages 2, 3 and 4 each add
a branch of half the resolution and twice the channels, and after a few residual blocks every branch hears
from every other.

Parameters have the names of the public ImageNet files, so that these load as they are.  Parallel branches are
written as steps (:mod:`hrdet_cli.engine.norm.in_step`): norms at the same depth of a module are reached
together, which makes 99 sync points of the published networks' 305 norms.  The dependency graph would allow
93: the long paths are those to the coarse branches, and the next module's fine branches need not wait for
them.  That takes a scheduler over the whole network instead of a loop over its modules, and leaves no modules
to be recomputed one by one, for six sync points in a hundred.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.models.backbones.bottleneck import Bottleneck
from hrdet_cli.engine.models.backbones.stages import freeze_stages
from hrdet_cli.engine.norm.in_step import NormSteps, run_in_step
from hrdet_cli.engine.norm.recompute import Recomputation, run_segment
from hrdet_cli.engine.norm.remade import rectify
from hrdet_cli.engine.norm.sync import normalise
from hrdet_cli.engine.norm.valid_area import ValidArea

STRIDES = (4, 8, 16, 32)

_EXPANSION = 4
"""Output channels per inner channel of a bottleneck."""


@dataclass(frozen=True, slots=True)
class HRNetConfig:
    """The numbers that tell one HRNet from another.

    Attributes:
        width: Channels of the branch at stride 4; each further branch has twice those of the one before.
        stem_channels: Channels of the two convolutions that bring the picture to stride 4.
        bottleneck_channels: Inner channels of stage 1's bottlenecks; they put out four times as many.
        num_bottlenecks: Bottlenecks in stage 1.
        num_modules: Modules, each ending in an exchange between branches, in stages 2, 3 and 4.
        num_blocks: Residual blocks on each branch of a module.
    """

    width: int
    stem_channels: int
    bottleneck_channels: int
    num_bottlenecks: int
    num_modules: tuple[int, int, int]
    num_blocks: int

    @property
    def branch_channels(self) -> tuple[int, ...]:
        """Channels of the branches at strides 4, 8, 16 and 32."""
        return tuple(self.width * 2**branch for branch in range(len(STRIDES)))


def _published(width: int) -> HRNetConfig:
    """The paper's network; only its width varies (table 1)."""
    return HRNetConfig(
        width=width,
        stem_channels=64,
        bottleneck_channels=64,
        num_bottlenecks=4,
        num_modules=(1, 4, 3),
        num_blocks=4,
    )


HRNET_CONFIGS: Mapping[str, HRNetConfig] = MappingProxyType(
    {
        **{f"w{width}": _published(width) for width in (18, 30, 32, 40, 44, 48, 64)},
        # For CPUs: the same network, as shallow as it gets while every part of it is there.
        "small": HRNetConfig(
            width=16,
            stem_channels=32,
            bottleneck_channels=16,
            num_bottlenecks=1,
            num_modules=(1, 1, 1),
            num_blocks=2,
        ),
    }
)


class HRNet(nn.Module):
    """HRNetV2's trunk: a picture in, four feature maps out.

    Attributes:
        out_channels: Channels of the four maps.
        strides: Picture pixels per feature pixel of the four maps.
    """

    def __init__(
        self, config: HRNetConfig, *, frozen_stages: int = 0, recompute: Recomputation = "off"
    ) -> None:
        """Build with random weights.

        Args:
            config: The network's numbers.
            frozen_stages: 0 trains everything; 1 freezes the stem and stage 1, n also what leads to stages 2
                to n and these: no gradient, and norms that keep their statistics in training mode.
            recompute: What of the stem, each bottleneck and each module is computed again.

        Raises:
            ValueError: ``frozen_stages`` is not in 0..4.
        """
        super().__init__()
        self.out_channels = config.branch_channels
        self.strides = STRIDES
        self.recompute = recompute
        stem, inner, branches = config.stem_channels, config.bottleneck_channels, config.branch_channels
        outer = inner * _EXPANSION

        self.conv1 = nn.Conv2d(3, stem, kernel_size=3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.conv2 = nn.Conv2d(stem, stem, kernel_size=3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(stem)
        widen = nn.Sequential(nn.Conv2d(stem, outer, kernel_size=1, bias=False), nn.BatchNorm2d(outer))
        self.layer1 = nn.Sequential(
            Bottleneck(stem, inner, outer, downsample=widen),
            *(Bottleneck(outer, inner, outer) for _ in range(config.num_bottlenecks - 1)),
        )
        self.transition1 = nn.ModuleList([ConvNorm(outer, branches[0]), _halving_path(outer, branches[1])])
        self.stage2 = _stage(branches[:2], config.num_modules[0], config.num_blocks)
        self.transition2 = nn.ModuleList(
            [nn.Identity(), nn.Identity(), _halving_path(branches[1], branches[2])]
        )
        self.stage3 = _stage(branches[:3], config.num_modules[1], config.num_blocks)
        self.transition3 = nn.ModuleList(
            [nn.Identity(), nn.Identity(), nn.Identity(), _halving_path(branches[2], branches[3])]
        )
        self.stage4 = _stage(branches, config.num_modules[2], config.num_blocks)

        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        freeze_stages(self, self.stages, num_frozen=frozen_stages)

    @property
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The parts of the four stages: stem and first, and then each with the transition to it."""
        stem_and_first = (self.conv1, self.bn1, self.conv2, self.bn2, self.layer1)
        return (stem_and_first, *self._transitions_and_stages())

    def _transitions_and_stages(self) -> tuple[tuple[nn.ModuleList, nn.Sequential], ...]:
        """What adds a branch, and the stage that it is for."""
        return (
            (self.transition1, self.stage2),
            (self.transition2, self.stage3),
            (self.transition3, self.stage4),
        )

    def forward(self, pixels: Tensor, area: ValidArea | None = None) -> tuple[Tensor, ...]:
        """Compute features.

        Args:
            pixels: ``(N, 3, H, W)`` normalised floats; H and W multiples of 32.
            area: Where the pictures are, if nothing is to depend on the padding: norms count the pictures'
                pixels, and all maps are zero elsewhere.

        Returns:
            ``(N, C, H / s, W / s)`` for each of ``out_channels`` and ``strides``.

        Raises:
            ValueError: H or W is not a multiple of 32.
        """
        height, width = pixels.shape[-2:]
        if height % STRIDES[-1] or width % STRIDES[-1]:
            raise ValueError(
                f"HRNet needs sides that are multiples of {STRIDES[-1]}, not {width}x{height}: pad them"
            )
        recompute = self.recompute
        stem = (self.bn1, self.bn2)
        x = run_segment(self._run_stem, pixels, area, recompute=recompute, parts=stem)
        for bottleneck in self.layer1:
            x = run_segment(bottleneck, x, area, recompute=recompute)
        features: tuple[Tensor, ...] = (x,)
        for transition, stage in self._transitions_and_stages():
            features = _add_branch(transition, features, area)
            for module in stage:
                features = run_segment(module, features, area, recompute=recompute)
        return features

    def _run_stem(self, pixels: Tensor, area: ValidArea | None) -> Tensor:
        """From pixels to stride 4."""
        x = rectify(normalise(self.bn1, self.conv1(pixels), area))
        return F.relu(normalise(self.bn2, self.conv2(x), area), inplace=True)


class HighResolutionModule(nn.Module):
    """Residual blocks on parallel branches, then an exchange from every branch to every branch."""

    def __init__(self, channels: Sequence[int], *, num_blocks: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(*(BasicBlock(count) for _ in range(num_blocks))) for count in channels
        )
        self.fuse_layers = nn.ModuleList(
            nn.ModuleList(_exchange_path(channels, source, target) for source in range(len(channels)))
            for target in range(len(channels))
        )

    def forward(self, features: Sequence[Tensor], area: ValidArea | None) -> tuple[Tensor, ...]:
        """Map one feature map per branch to one per branch, of the same shapes."""
        branches = zip(self.branches, features, strict=True)
        features = run_in_step([_block_steps(blocks, x) for blocks, x in branches], area)
        # By target, then by source: the order in which the sums below take the parts up.
        paths = [path for paths_to_target in self.fuse_layers for path in paths_to_target.children()]
        sources = features * len(features)
        steps = [_path_steps(path, x) for path, x in zip(paths, sources, strict=True)]
        parts = iter(run_in_step(steps, area))
        return tuple(F.relu(_sum_of([next(parts) for _ in features], like=x), inplace=True) for x in features)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around which the input is carried unchanged."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def steps(self, x: Tensor) -> NormSteps:
        """Map ``(N, C, H, W)`` to the same shape."""
        y = yield self.bn1, self.conv1(x)
        y = yield self.bn2, self.conv2(rectify(y))
        return rectify(y, plus=x)


class ConvNorm(nn.Sequential):
    """A convolution and its norm; the public files number them 0 and 1."""

    def __init__(self, in_channels: int, out_channels: int, *, kernel_size: int = 3, stride: int = 1) -> None:
        padding = kernel_size // 2
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding, bias=False),
            nn.BatchNorm2d(out_channels),
        )


def _stage(channels: Sequence[int], num_modules: int, num_blocks: int) -> nn.Sequential:
    return nn.Sequential(*(HighResolutionModule(channels, num_blocks=num_blocks) for _ in range(num_modules)))


def _halving_path(*channels: int) -> nn.Sequential:
    """Halve the resolution once for each pair of successive channel counts."""
    return nn.Sequential(*(ConvNorm(before, after, stride=2) for before, after in pairwise(channels)))


def _exchange_path(channels: Sequence[int], source: int, target: int) -> nn.Module:
    """What features go through on their way between two branches, except for being enlarged."""
    if source == target:
        return nn.Identity()
    if source > target:
        return ConvNorm(channels[source], channels[target], kernel_size=1)
    return _halving_path(*[channels[source]] * (target - source), channels[target])


def _add_branch(
    transition: nn.ModuleList, features: tuple[Tensor, ...], area: ValidArea | None
) -> tuple[Tensor, ...]:
    """Start a new branch from the last one; the others stay, or are brought to their branch's channels."""
    sources = (*features, features[-1])
    steps = [_path_steps(path, x) for path, x in zip(transition, sources, strict=True)]
    outputs = run_in_step(steps, area)
    return tuple(
        x if isinstance(path, nn.Identity) else F.relu(x, inplace=True)
        for path, x in zip(transition, outputs, strict=True)
    )


def _block_steps(blocks: nn.Module, x: Tensor) -> NormSteps:
    for block in blocks.children():
        x = yield from cast("BasicBlock", block).steps(x)
    return x


def _path_steps(path: nn.Module, x: Tensor) -> NormSteps:
    """Zero, one or more ``ConvNorm`` with a ReLU between two of them."""
    convs_and_norms = [module for module in path.modules() if isinstance(module, ConvNorm)]
    for index, (conv, norm) in enumerate(convs_and_norms):
        x = yield norm, conv(x if index == 0 else rectify(x))
    return x


def _sum_of(parts: Sequence[Tensor], *, like: Tensor) -> Tensor:
    """A new map of what comes from two branches or more.

    Args:
        parts: From each branch.
        like: Of the branch that they go to, whose dtype the sum gets: autocast enlarges in float32, in which
            it would take twice the memory until the backward pass.
    """
    first, second, *others = (_enlarged(part, like=like) for part in parts)
    total = first + second
    for other in others:
        total.add_(other)
    return total.to(like.dtype)


def _enlarged(x: Tensor, *, like: Tensor) -> Tensor:
    """Repeat pixels until the resolution is that of another branch."""
    return x if x.shape == like.shape else F.interpolate(x, size=like.shape[-2:], mode="nearest")
