"""What the detector is made of."""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from hrdet_cli.specs.base import Fraction, Spec

BoxMeans = tuple[float, float, float, float]
BoxStds = tuple[PositiveFloat, PositiveFloat, PositiveFloat, PositiveFloat]


class HRNetBackboneSpec(Spec):
    """HRNetV2, with HRFPN as its neck."""

    kind: Literal["hrnet"] = "hrnet"
    """The network family."""
    width: Literal["w18", "w30", "w32", "w40", "w44", "w48", "w64", "small"] = "w18"
    """Channels of the highest-resolution branch; `small` is a shallow variant for CPUs and tests."""
    frozen_stages: Annotated[int, Field(ge=0, le=4)] = 0
    """0 trains everything; 1 freezes the stem and stage 1, n the stages up to n, norms included."""
    neck_interpolation: Literal["bilinear", "nearest"] = "bilinear"
    """How HRFPN brings the coarser branches to stride 4; corners are not aligned."""
    neck_pooling: Literal["average", "max"] = "average"
    """How HRFPN makes its coarser levels."""


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


class BoxLossSpec(Spec):
    """Loss on encoded box deltas."""

    kind: Literal["smooth_l1", "l1"]
    """`smooth_l1` as in 2019, `l1` as in mmdetection 3."""
    beta: PositiveFloat | None = None
    """Where smooth-L1 turns from square to linear; only with `smooth_l1`, and needed there."""


BoxClamp = Literal["both", "enlarging"]


class SoftNmsSpec(Spec):
    """Soft-NMS (arXiv:1704.04503): boxes that overlap a better one lose score instead of being dropped."""

    decay: Literal["linear", "gaussian"] = "linear"
    """`linear` multiplies by 1 - IoU from `nms_iou` on; `gaussian` by exp(-IoU^2 / sigma) at any IoU."""
    sigma: PositiveFloat = 0.5
    """Width of the gaussian decay; `linear` has none."""
    min_score: Fraction = 0.05
    """A detection whose score sinks below this is dropped."""


class RpnSpec(Spec):
    """Region proposal network."""

    anchor_scale: PositiveFloat = 8
    """Side of a square anchor in units of its level's stride."""
    anchor_aspect_ratios: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (0.5, 1.0, 2.0)
    """Height divided by width of the anchors at each position."""
    anchor_offset: Fraction = 0
    """Where in its cell an anchor is centred, in strides: 0 is the top left corner (mmdetection 2 and 3,
    torchvision), 0.5 the middle (2019)."""
    round_anchors: bool = False
    """Round the anchors' corners, as at a cell's origin, to whole pixels (2019, torchvision)."""
    anchor_step: Literal["stride", "canvas"] = "stride"
    """From one cell to the next: the level's stride, or (canvas) the canvas's side divided by the number of
    cells and rounded down, as torchvision has it, which differs where the coarsest level was rounded up."""
    anchor_area: Literal["picture", "padded", "canvas"] = "picture"
    """Cells whose anchors train and propose: those of the picture, or of the whole canvas (torchvision);
    padded: those of the picture rounded up to multiples of 32 pixels train, all propose (mmdetection)."""
    allowed_border_pixels: NonNegativeFloat | None = 0
    """How far an anchor may reach out of the picture and still be trained on; null trains on all of them."""
    positive_iou: Fraction = 0.7
    """An anchor that overlaps a box at least this much is positive."""
    negative_iou: Fraction = 0.3
    """An anchor that overlaps every box less than this is negative."""
    min_positive_iou: Fraction = 0.3
    """A box's best anchors are positive too if they overlap it at least this much."""
    low_quality_target: Literal["claiming", "best"] = "claiming"
    """What such an anchor learns: the box that claims it (mmdetection), or the one it overlaps most
    (torchvision)."""
    num_samples: PositiveInt = 256
    """Anchors per picture that the loss looks at."""
    positive_fraction: Fraction = 0.5
    """Largest share of positives among them."""
    box_means: BoxMeans = (0.0, 0.0, 0.0, 0.0)
    """Subtracted from the encoded deltas (x, y, width, height)."""
    box_stds: BoxStds = (1.0, 1.0, 1.0, 1.0)
    """Divisors of the encoded deltas after that."""
    box_clamp: BoxClamp = "both"
    """A decoded side is at most 62.5 times its anchor's, and with `both` at least that fraction of it."""
    box_loss: BoxLossSpec = BoxLossSpec(kind="smooth_l1", beta=1 / 9)
    """Loss on the deltas of positive anchors."""
    min_side_pixels: NonNegativeFloat = 0
    """Proposals with a shorter side are dropped, and always those without area."""
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
    class_agnostic_boxes: bool = False
    """One box for a region, not one for each class."""
    box_means: BoxMeans = (0.0, 0.0, 0.0, 0.0)
    """Subtracted from the encoded deltas (x, y, width, height)."""
    box_stds: BoxStds = (0.1, 0.1, 0.2, 0.2)
    """Divisors of the encoded deltas after that."""
    box_clamp: BoxClamp = "both"
    """A decoded side is at most 62.5 times its region's, and with `both` at least that fraction of it."""
    box_loss: BoxLossSpec = BoxLossSpec(kind="smooth_l1", beta=1.0)
    """Loss on the deltas of positive regions."""
    score_threshold: Fraction = 0.05
    """Detections with a lower score are dropped."""
    min_side_pixels: NonNegativeFloat = 0
    """Detections with a shorter side are dropped, and always those without area."""
    nms_iou: Fraction = 0.5
    """A detection that overlaps a better one of its class more than this is dropped, or loses score."""
    soft_nms: SoftNmsSpec | None = None
    """Soft-NMS instead of the hard one; null drops."""
    max_detections: PositiveInt = 100
    """Detections kept per picture."""


class ModelSpec(Spec):
    """A Faster R-CNN and its backbone."""

    backbone: Annotated[HRNetBackboneSpec | ResNetBackboneSpec, Field(discriminator="kind")] = (
        HRNetBackboneSpec()
    )
    """The backbone; its neck follows from it."""
    weights: str | None = None
    """Weights to start from: a file, or the name of published ones (timm:hrnet_w18, torchvision:resnet50, a
    URL); of a backbone or a whole detector; null starts from random weights."""
    strict_weights: bool = True
    """Weights must have all that the model needs and nothing it does not know; false takes what fits."""
    weights_background: Literal["auto", "first", "last"] = "auto"
    """Where the weights' classifier has the background; `auto` knows it from the family of the file."""
    neck_channels: PositiveInt = 256
    """Channels of every pyramid level."""
    activation_checkpointing: bool = False
    """Recompute the backbone's activations in the backward pass: less memory, more time, same results."""
    rpn: RpnSpec = RpnSpec()
    """Region proposal network."""
    roi_head: RoiHeadSpec = RoiHeadSpec()
    """Region head."""
    box_corners: Literal["exclusive", "inclusive"] = "exclusive"
    """Whether a box's far corner is the end of its last pixel (exclusive), or that pixel (inclusive, 2019's
    x2 - x1 + 1): it decides what is multiplied when pictures are resized, and where boxes are clipped."""
    pixel_order: Literal["rgb", "bgr"] = "rgb"
    """Order of the colours that the backbone's first convolution was trained with."""
    pixel_mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Subtracted from the red, green and blue values in 0..255."""
    pixel_std: tuple[PositiveFloat, PositiveFloat, PositiveFloat] = (58.395, 57.12, 57.375)
    """Divides the red, green and blue values after the mean was subtracted."""
