"""What the detector is made of."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from hrdet_cli.specs.base import Fraction, Spec

BoxStds = tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat]


class HRNetBackboneSpec(Spec):
    """HRNetV2, with HRFPN as its neck."""

    kind: Literal["hrnet"] = "hrnet"
    """The network family."""
    width: Literal["w18", "w32", "w40", "w48", "small"] = "w18"
    """Channels of the highest-resolution branch; `small` is a shallow variant for CPUs and tests."""


class ResNetBackboneSpec(Spec):
    """ResNet with the stride in the 3x3 convolution, with FPN as its neck."""

    kind: Literal["resnet"]
    """The network family."""
    depth: Literal[50, 101] = 50
    """Number of layers."""
    frozen_stages: Annotated[int, Field(ge=0, le=4)] = 1
    """0 trains everything; 1 freezes the stem and stage 1, n the stages up to n, norms included."""


class BoxLossSpec(Spec):
    """Loss on encoded box deltas."""

    kind: Literal["smooth_l1", "l1"]
    """`smooth_l1` as in 2019, `l1` as in mmdetection 3."""
    beta: PositiveFloat | None = None
    """Where smooth-L1 turns from square to linear; only with `smooth_l1`, and needed there."""


class RpnSpec(Spec):
    """Region proposal network."""

    anchor_scale: PositiveFloat = 8
    """Side of a square anchor in units of its level's stride."""
    anchor_aspect_ratios: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (0.5, 1.0, 2.0)
    """Height divided by width of the anchors at each position."""
    allowed_border_pixels: NonNegativeFloat | None = 0
    """How far an anchor may reach out of the picture and still be trained on; null trains on all of them."""
    positive_iou: Fraction = 0.7
    """An anchor that overlaps a box at least this much is positive."""
    negative_iou: Fraction = 0.3
    """An anchor that overlaps every box less than this is negative."""
    min_positive_iou: Fraction = 0.3
    """A box's best anchors are positive too if they overlap it at least this much."""
    num_samples: PositiveInt = 256
    """Anchors per picture that the loss looks at."""
    positive_fraction: Fraction = 0.5
    """Largest share of positives among them."""
    box_stds: BoxStds = (1.0, 1.0, 1.0, 1.0)
    """Divisors of the encoded deltas (x, y, width, height)."""
    box_loss: BoxLossSpec = BoxLossSpec(kind="smooth_l1", beta=1 / 9)
    """Loss on the deltas of positive anchors."""
    nms_iou: Fraction = 0.7
    """A proposal that overlaps a better one of its level more than this is dropped."""
    num_train_candidates_per_level: PositiveInt = 2000
    """Best anchors per level that enter NMS in training."""
    num_train_proposals: PositiveInt = 2000
    """Proposals per picture that leave NMS in training."""
    num_test_candidates_per_level: PositiveInt = 1000
    """Best anchors per level that enter NMS in evaluation."""
    num_test_proposals: PositiveInt = 1000
    """Proposals per picture that leave NMS in evaluation."""


class RoiHeadSpec(Spec):
    """Region head: RoIAlign, two fully connected layers, a classifier and a box regressor."""

    positive_iou: Fraction = 0.5
    """A region that overlaps a box at least this much is positive, any other negative."""
    num_samples: PositiveInt = 512
    """Regions per picture that are trained on."""
    positive_fraction: Fraction = 0.25
    """Largest share of positives among them."""
    pool_cells: PositiveInt = 7
    """RoIAlign gives a grid of this many cells a side."""
    pool_sampling_ratio: Annotated[int, Field(ge=0)] = 2
    """Samples per cell and axis; 0 adapts to the region's size, as mmdetection 3 does."""
    pool_aligned: bool = True
    """Shift by half a pixel so that cells are centred, as RoIAlign has it since 2019; false as before."""
    hidden_features: PositiveInt = 1024
    """Width of the two fully connected layers."""
    box_stds: BoxStds = (0.1, 0.1, 0.2, 0.2)
    """Divisors of the encoded deltas (x, y, width, height)."""
    box_loss: BoxLossSpec = BoxLossSpec(kind="smooth_l1", beta=1.0)
    """Loss on the deltas of positive regions."""
    score_threshold: Fraction = 0.05
    """Detections with a lower score are dropped."""
    nms_iou: Fraction = 0.5
    """A detection that overlaps a better one of its class more than this is dropped."""
    max_detections: PositiveInt = 100
    """Detections kept per picture."""


class ModelSpec(Spec):
    """A Faster R-CNN and its backbone."""

    backbone: Annotated[HRNetBackboneSpec | ResNetBackboneSpec, Field(discriminator="kind")] = (
        HRNetBackboneSpec()
    )
    """The backbone; its neck follows from it."""
    backbone_weights: Path | None = None
    """State dict with ImageNet weights for the backbone; null starts from random weights."""
    neck_channels: PositiveInt = 256
    """Channels of every pyramid level."""
    activation_checkpointing: bool = False
    """Recompute the backbone's activations in the backward pass: less memory, more time, same results."""
    rpn: RpnSpec = RpnSpec()
    """Region proposal network."""
    roi_head: RoiHeadSpec = RoiHeadSpec()
    """Region head."""
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Subtracted from the red, green and blue values in 0..255."""
    pixel_std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (58.395, 57.12, 57.375)
    """Divides the red, green and blue values after the mean was subtracted."""
