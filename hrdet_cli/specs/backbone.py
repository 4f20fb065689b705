"""The backbones."""

from typing import Annotated, Literal

from pydantic import Field

from hrdet_cli.specs.base import Spec


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


class ResNetBackboneSpec(Spec):
    """ResNet, with FPN as its neck."""

    kind: Literal["resnet"]
    """The network family."""
    depth: Literal[50, 101] = 50
    """Number of layers."""
    style: Literal["pytorch", "caffe"] = "pytorch"
    """Which convolution of a block has the stride: the 3x3 one (pytorch) or the first 1x1 one (caffe)."""
    frozen_stages: Annotated[int, Field(ge=0, le=4)] = 1
    """0 trains everything; 1 freezes the stem and stage 1, n the stages up to n, norms included."""

    @property
    def title(self) -> str:
        """In words."""
        return f"resnet {self.depth}"


BackboneSpec = Annotated[HRNetBackboneSpec | ResNetBackboneSpec, Field(discriminator="kind")]
