"""From spec to detector, and what its norms are in words."""

import torch

from hrdet_cli.activity import doing
from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.models.backbones.resnet import DeformableStages, ResNet
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.norm.back_ends import require_back_end
from hrdet_cli.engine.norm.convert import NormReport, convert_norm
from hrdet_cli.runs.build.anchors import counts_valid_pixels
from hrdet_cli.runs.build.head import build_head
from hrdet_cli.runs.build.neck import build_neck
from hrdet_cli.specs.backbone import ResNetBackboneSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.model import ModelSpec
from hrdet_cli.specs.norm import BatchNormSpec, GroupNormSpec, NormSpec, SyncBatchNormSpec
from hrdet_cli.specs.run import RunSpec


def build_detector(spec: ExperimentSpec, *, num_classes: int, trains: bool) -> Detector:
    """A detector on the CPU with random weights from torch's generator, normalised as the spec says.

    Args:
        spec: The experiment.
        num_classes: Number of classes without the background.
        trains: False for evaluation, where norms exchange nothing, so that it needs no other package for it.
    """
    norm = spec.norm
    if isinstance(norm, SyncBatchNormSpec) and not trains:
        norm = norm.model_copy(update={"back_end": "coalesced"})
    detector = build_plain_detector(spec.model, num_classes=num_classes)
    normalise_detector(detector, norm)
    return detector


@doing("building the detector")
def build_plain_detector(model: ModelSpec, *, num_classes: int) -> Detector:
    """The detector with plain BatchNorm everywhere."""
    backbone = _build_backbone(model)
    neck = build_neck(model.neck, backbone, finest_stride=model.head.finest_stride)
    return Detector(
        backbone=backbone,
        neck=neck,
        head=build_head(model, num_classes=num_classes, strides=neck.strides),
        pixel_mean=model.pixel_mean,
        pixel_std=model.pixel_std,
        pixel_order=model.pixel_order,
    )


def _build_backbone(model: ModelSpec) -> HRNet | ResNet:
    if isinstance(model.backbone, ResNetBackboneSpec):
        deformable = model.backbone.deformable
        return ResNet(
            depth=model.backbone.depth,
            style=model.backbone.style,
            cardinality=model.backbone.cardinality,
            group_width=model.backbone.resolved_group_width,
            deformable=None
            if deformable is None
            else DeformableStages(
                version=deformable.version, levels=deformable.levels, num_groups=deformable.groups
            ),
            frozen_stages=model.backbone.frozen_stages,
            recompute=model.activation_checkpointing,
        )
    return HRNet(
        HRNET_CONFIGS[model.backbone.width],
        frozen_stages=model.backbone.frozen_stages,
        recompute=model.activation_checkpointing,
    )


def normalise_detector(detector: Detector, norm: NormSpec) -> NormReport:
    """Convert the norms of a plain detector to the kind the spec asks for, in place."""
    detector.hides_padding = counts_valid_pixels(norm)
    return convert_norm(
        detector,
        kind=norm.kind,
        back_end=norm.back_end if isinstance(norm, SyncBatchNormSpec) else "coalesced",
        keep_statistics=isinstance(norm, BatchNormSpec) and norm.keep_statistics,
        num_groups=norm.num_groups if isinstance(norm, GroupNormSpec) else 32,
        epsilon=None if isinstance(norm, GroupNormSpec) else norm.epsilon,
    )


def require_trainable_norm(norm: NormSpec, device: torch.device) -> None:
    """Check that what normalises can train on a device.

    Raises:
        SpecError: It cannot, or its package is not to be had.
    """
    if isinstance(norm, SyncBatchNormSpec):
        require_back_end(norm.back_end, device)


def describe_norms(report: NormReport, norm: NormSpec) -> str:
    """What was converted, in words."""
    kind = report.kind if report.back_end in (None, "coalesced") else f"{report.kind}, {report.back_end}"
    if counts_valid_pixels(norm):
        kind += ", valid pixels"
    return f"{kind} ({report.num_converted} layers, {report.num_left_frozen} frozen)"


def place_detector(detector: Detector, run: RunSpec, device: torch.device) -> Detector:
    """Move a detector to its device, in the dtype and layout that its weights have there; returns it.

    On a GPU weights lie channels-last, as features do: convolutions would lay them out so in every step. On
    a CPU they do not, so that what is found after a training is what was found in it, to the bit.
    """
    detector.to(device, torch.float64 if run.precision == "float64" else torch.float32)
    return detector.to(memory_format=torch.channels_last) if device.type == "cuda" else detector
