"""The backbones."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from hrdet_cli.specs.base import Problem, Spec

_RESNET_GROUP_WIDTH = 64
_FIRST_MAP = 2


class HRNetBackboneSpec(Spec):
    """HRNetV2, with HRFPN as its neck."""

    kind: Literal["hrnet"] = "hrnet"
    """The network family."""
    width: Literal["w18", "w30", "w32", "w40", "w44", "w48", "w64", "small"] = "w18"
    """Channels of the highest-resolution branch; `small` is a shallow variant for CPUs and tests."""
    frozen_stages: Annotated[int, Field(ge=0, le=4)] = 0
    """0 trains everything; 1 freezes the stem and stage 1, n the stages up to n, norms included."""

    @property
    def title(self) -> str:
        """In words."""
        return f"hrnet {self.width}"


class DeformableSpec(Spec):
    """Deformable convolutions in place of a ResNet's 3x3 ones."""

    version: Literal["v1", "v2"]
    """v1 (arXiv:1703.06211) moves the taps of each kernel, v2 (arXiv:1811.11168) weighs them too."""
    levels: Annotated[tuple[Literal[3, 4, 5], ...], Field(min_length=1)] = (3, 4, 5)
    """Stages that have them, by the level of their maps, C3 to C5."""
    groups: PositiveInt = 1
    """Sets of moves among which the channels are shared out."""

    def problems(self) -> Iterator[Problem]:
        """A level named twice."""
        if len(set(self.levels)) < len(self.levels):
            yield "levels", f"names a level twice: {list(self.levels)}"


class ResNetBackboneSpec(Spec):
    """ResNet or ResNeXt, with FPN as its neck."""

    kind: Literal["resnet"]
    """The network family."""
    depth: Literal[50, 101] = 50
    """Number of layers."""
    style: Literal["pytorch", "caffe"] = "pytorch"
    """Which convolution of a block has the stride: the 3x3 one (pytorch) or the first 1x1 one (caffe)."""
    cardinality: PositiveInt = 1
    """Groups of each 3x3 convolution: 32 and 64 make the published ResNeXts (arXiv:1611.05431)."""
    group_width: PositiveInt | None = None
    """Channels of each group in the first stage, which double in each further one: 4 of ResNeXt 32x4d and
    64x4d; null is a ResNet's 64."""
    deformable: DeformableSpec | None = None
    """Deformable convolutions: `{version: v1}` is mmdetection's dconv-c3-c5, `{version: v2}` its
    mdconv-c3-c5; null has none."""
    frozen_stages: Annotated[int, Field(ge=0, le=4)] = 1
    """0 trains everything; 1 freezes the stem and stage 1, n the stages up to n, norms included."""

    @property
    def title(self) -> str:
        """In words."""
        groups = f"resnext {self.depth} {self.cardinality}x{self.group_width}d"
        name = f"resnet {self.depth}" if self.cardinality == 1 else groups
        return name if self.deformable is None else f"{name}, deformable {self.deformable.version}"

    @property
    def resolved_group_width(self) -> int:
        """The group width, where it was not given, too."""
        return _RESNET_GROUP_WIDTH if self.group_width is None else self.group_width

    def problems(self) -> Iterator[Problem]:
        """Groups of unknown width, and channels that cannot be shared out."""
        if self.cardinality > 1 and self.group_width is None:
            yield "group_width", f"must be given where cardinality is {self.cardinality}; ResNeXts have 4"
        if self.deformable is None:
            return
        width = self.cardinality * self.resolved_group_width
        channels = width * 2 ** (min(self.deformable.levels) - _FIRST_MAP)
        if channels % self.deformable.groups:
            yield (
                "deformable.groups",
                f"{self.deformable.groups} does not divide the {channels} channels of level "
                f"{min(self.deformable.levels)}; published detectors have 1 and 4",
            )


BackboneSpec = Annotated[HRNetBackboneSpec | ResNetBackboneSpec, Field(discriminator="kind")]
