"""What the detector is made of."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat

from hrdet_cli.specs.backbone import BackboneSpec, HRNetBackboneSpec
from hrdet_cli.specs.base import Problem, Spec
from hrdet_cli.specs.heads.cascade import CascadeRcnnSpec
from hrdet_cli.specs.heads.fcos import FcosSpec
from hrdet_cli.specs.heads.proposals import ProposalNetworkSpec
from hrdet_cli.specs.heads.retinanet import RetinaNetSpec
from hrdet_cli.specs.heads.two_stage import FasterRcnnSpec
from hrdet_cli.specs.neck import NeckSpec
from hrdet_cli.specs.yaml_text import shown

AnyHeadSpec = Annotated[
    FasterRcnnSpec | CascadeRcnnSpec | RetinaNetSpec | FcosSpec | ProposalNetworkSpec,
    Field(discriminator="kind"),
]
"""Every kind of head, the default kind first."""


_HRFPN_KEYS = ("interpolation", "pooling")
_COARSE_KEYS = ("coarse_from", "coarse_relu")


class ModelSpec(Spec):
    """A detector: backbone, neck and head."""

    backbone: BackboneSpec = HRNetBackboneSpec()
    """The backbone."""
    weights: str | None = None
    """Weights to start from: a file, a URL, or the name of published ones (imagenet:hrnetv2_w18,
    torchvision:resnet50); of a backbone or a whole detector; null starts from random weights."""
    strict_weights: bool = True
    """Weights must have all that the model needs and nothing it does not know; false takes what fits."""
    weights_background: Literal["auto", "first", "last"] = "auto"
    """Where the weights' classifier has the background; `auto` knows it from the family of the file."""
    activation_checkpointing: Literal["off", "norms", "modules"] = "off"
    """What of the backbone is not kept for the backward pass but computed again, with the same results: with
    norms the norms, ReLUs and sums inside of modules, for little time, with modules everything, for the least
    memory. true is modules, false off."""
    neck: NeckSpec = NeckSpec()
    """The feature pyramid between backbone and head; its kind follows from the backbone."""
    head: AnyHeadSpec = FasterRcnnSpec()
    """What finds objects in the pyramid: the kind of detector."""
    box_corners: Literal["exclusive", "inclusive"] = "exclusive"
    """Whether a box's far corner is the end of its last pixel (exclusive), or that pixel (inclusive, 2019's
    x2 - x1 + 1): it decides what is multiplied when pictures are resized, and where boxes are clipped."""
    pixel_order: Literal["rgb", "bgr"] = "rgb"
    """Order of the colours that the backbone's first convolution was trained with."""
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Subtracted from the red, green and blue values in 0..255."""
    pixel_std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (58.395, 57.12, 57.375)
    """Divides the red, green and blue values after the mean was subtracted."""

    @property
    def title(self) -> str:
        """Head and backbone in words."""
        masks = "" if self.head.masks is None else " with masks"
        return f"{self.head.kind}{masks} on {self.backbone.title}"

    def problems(self) -> Iterator[Problem]:
        """What one neck can be told and another cannot."""
        owners = dict.fromkeys(_HRFPN_KEYS, "HRFPN, the neck of model.backbone.kind=hrnet")
        if isinstance(self.backbone, HRNetBackboneSpec):
            owners = dict.fromkeys(_COARSE_KEYS, "FPN, the neck of model.backbone.kind=resnet")
        elif self.head.finest_stride == 4:
            owners |= dict.fromkeys(_COARSE_KEYS, "FPN with strides 8 to 128, not this kind of head")
        for name, owner in owners.items():
            value, default = getattr(self.neck, name), NeckSpec.model_fields[name].get_default()
            if value != default:
                yield (
                    f"neck.{name}",
                    f"{shown(value)} is for {owner}; set model.neck.{name}={shown(default)}",
                )
