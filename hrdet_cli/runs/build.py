"""From spec to engine: the one place where settings become objects."""

from collections.abc import Callable
from pathlib import Path

import torch

from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.loader import EvaluationLoader, TrainingLoader
from hrdet_cli.engine.data.padding import SmallestCanvas
from hrdet_cli.engine.data.transforms import ResizeAugmentation
from hrdet_cli.engine.distributed.world import World, current_world
from hrdet_cli.engine.geometry import Scale
from hrdet_cli.engine.models.anchor_fit import AnchorFit
from hrdet_cli.engine.models.anchors import AnchorGenerator
from hrdet_cli.engine.models.boxes import BoxCoder
from hrdet_cli.engine.models.detections import DetectionSelector
from hrdet_cli.engine.models.faster_rcnn import FasterRCNN
from hrdet_cli.engine.models.fpn import FPN
from hrdet_cli.engine.models.hrfpn import HRFPN
from hrdet_cli.engine.models.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.models.losses import BoxLoss
from hrdet_cli.engine.models.matching import Matcher
from hrdet_cli.engine.models.proposals import ProposalSelector
from hrdet_cli.engine.models.region_pooling import RegionPooling
from hrdet_cli.engine.models.resnet import ResNet
from hrdet_cli.engine.models.roi_head import RoIHead
from hrdet_cli.engine.models.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.sampling import Sampler
from hrdet_cli.engine.models.weights import load_backbone_weights
from hrdet_cli.engine.norm.back_ends import require_back_end
from hrdet_cli.engine.norm.convert import NormReport, convert_norm
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.engine.training.optimiser import build_sgd
from hrdet_cli.engine.training.schedule import StepSchedule
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.dataset import DatasetPart
from hrdet_cli.runs.steps import build_augmentation, build_steps
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.model import BoxLossSpec, ModelSpec, ResNetBackboneSpec, RoiHeadSpec, RpnSpec
from hrdet_cli.specs.norm import BatchNormSpec, GroupNormSpec, NormSpec, SyncBatchNormSpec
from hrdet_cli.specs.run import RunSpec

_RPN_STREAM, _ROI_STREAM = 0, 1
"""Each sampler draws from its own stream of a picture's key."""


def build_detector(spec: ExperimentSpec, *, num_classes: int, trains: bool) -> FasterRCNN:
    """A detector on the CPU with random weights from torch's generator, normalised as the spec says.

    Args:
        spec: The experiment.
        num_classes: Number of classes without the background.
        trains: False for evaluation, where norms exchange nothing, so that it needs no other package for it.
    """
    norm = spec.norm
    if isinstance(norm, SyncBatchNormSpec) and not trains:
        norm = SyncBatchNormSpec(kind="sync", statistics=norm.statistics)
    detector = build_plain_detector(spec.model, num_classes=num_classes)
    normalise_detector(detector, norm)
    return detector


def build_plain_detector(model: ModelSpec, *, num_classes: int) -> FasterRCNN:
    """The detector with plain BatchNorm everywhere."""
    backbone: HRNet | ResNet
    neck: HRFPN | FPN
    if isinstance(model.backbone, ResNetBackboneSpec):
        backbone = ResNet(
            depth=model.backbone.depth,
            frozen_stages=model.backbone.frozen_stages,
            activation_checkpointing=model.activation_checkpointing,
        )
        neck = FPN(in_channels=backbone.out_channels, out_channels=model.neck_channels)
    else:
        config = HRNET_CONFIGS[model.backbone.width]
        backbone = HRNet(config, activation_checkpointing=model.activation_checkpointing)
        neck = HRFPN(in_channels=backbone.out_channels, out_channels=model.neck_channels)
    return FasterRCNN(
        backbone=backbone,
        neck=neck,
        rpn=_build_rpn(model.rpn, channels=model.neck_channels, strides=neck.strides),
        roi_head=_build_roi_head(
            model.roi_head, channels=model.neck_channels, num_classes=num_classes, strides=neck.strides
        ),
        pixel_mean=model.pixel_mean,
        pixel_std=model.pixel_std,
    )


def normalise_detector(detector: FasterRCNN, norm: NormSpec) -> NormReport:
    """Convert the norms of a plain detector to the kind the spec asks for, in place."""
    detector.hides_padding = _counts_valid_pixels(norm)
    return convert_norm(
        detector,
        kind=norm.kind,
        back_end=norm.back_end if isinstance(norm, SyncBatchNormSpec) else "coalesced",
        keep_statistics=isinstance(norm, BatchNormSpec) and norm.keep_statistics,
        num_groups=norm.num_groups if isinstance(norm, GroupNormSpec) else 32,
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
    if _counts_valid_pixels(norm):
        kind += ", valid pixels"
    return f"{kind} ({report.num_converted} layers, {report.num_left_frozen} frozen)"


def load_initial_weights(detector: FasterRCNN, model: ModelSpec) -> str:
    """Load the backbone's weights where the spec names a file; says in words what was done.

    Raises:
        WeightsError: The file cannot be read or does not fit.
    """
    if model.weights is None:
        return "random"
    report = load_backbone_weights(detector.backbone, Path(model.weights))
    return f"{model.weights} ({report.matched} tensors, {len(report.left_over)} left over)"


def build_training_loader(
    spec: ExperimentSpec, part: DatasetPart, device: torch.device, *, world: World | None = None
) -> TrainingLoader:
    """Training batches of this process, or of another one that shows what it would get."""
    world = world or current_world()
    return TrainingLoader(
        dataset=PictureDataset(
            annotations=part.annotations,
            images=part.images,
            augmentation=build_augmentation(spec.augmentation),
            seed=spec.run.seed,
        ),
        steps=build_steps(spec, part.annotations, num_processes=world.size),
        world=world,
        num_workers=spec.data.num_workers,
        pin_memory=device.type == "cuda",
    )


def build_evaluation_loader(
    spec: ExperimentSpec, part: DatasetPart, device: torch.device
) -> EvaluationLoader:
    """This process's share of a part's pictures, at the evaluation scale."""
    scale = Scale(*spec.evaluation.scale_pixels)
    return EvaluationLoader(
        dataset=PictureDataset(
            annotations=part.annotations,
            images=part.images,
            augmentation=ResizeAugmentation(scales=(scale,), mode="choice", flip_probability=0),
            seed=spec.run.seed,
        ),
        batch_size=spec.evaluation.batch_size,
        world=current_world(),
        padding=SmallestCanvas(),
        num_workers=spec.data.num_workers,
        pin_memory=device.type == "cuda",
    )


def build_trainer(
    spec: ExperimentSpec,
    detector: FasterRCNN,
    loader: TrainingLoader,
    device: torch.device,
    *,
    learning_rate: float,
    stop_asked: Callable[[], bool],
) -> Trainer:
    """A trainer for a detector that is already on its device.

    Args:
        spec: The experiment.
        detector: What to train.
        loader: Its batches.
        device: Where the detector is.
        learning_rate: The rate after warm-up, as the plan has it.
        stop_asked: Whether this process was asked to stop.
    """
    optimisation = spec.optimisation
    return Trainer(
        model=detector,
        optimiser=build_sgd(detector, momentum=optimisation.momentum, weight_decay=optimisation.weight_decay),
        schedule=StepSchedule(
            learning_rate=learning_rate,
            warmup_steps=optimisation.warmup_steps,
            warmup_factor=optimisation.warmup_factor,
            drop_epochs=optimisation.drop_epochs,
            drop_factor=optimisation.drop_factor,
        ),
        loader=loader,
        num_epochs=optimisation.num_epochs,
        clip_norm=optimisation.clip_norm,
        device=device,
        autocast_dtype=autocast_dtype(spec.run, device),
        stop_asked=stop_asked,
    )


def select_device(run: RunSpec) -> torch.device:
    """The device a run computes on.

    Raises:
        SpecError: A GPU was asked for and there is none.
    """
    if run.device == "cuda" and not torch.cuda.is_available():
        raise SpecError(["run.device: 'cuda' was asked for, but torch sees no GPU; set run.device=auto"])
    if run.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def place_detector(detector: FasterRCNN, run: RunSpec, device: torch.device) -> FasterRCNN:
    """Move a detector to its device, in the dtype its weights have there; returns it."""
    return detector.to(device, torch.float64 if run.precision == "float64" else torch.float32)


def precision_name(run: RunSpec, device: torch.device) -> str:
    """What a run computes in, for the record."""
    if run.precision == "float64":
        return "float64"
    return "float32" if autocast_dtype(run, device) is None else "bfloat16"


def autocast_dtype(run: RunSpec, device: torch.device) -> torch.dtype | None:
    """The reduced precision of the forward pass, or None for that of the weights."""
    if run.precision == "bfloat16":
        return torch.bfloat16
    if run.precision == "auto" and device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    return None


def build_anchor_fit(spec: ExperimentSpec) -> AnchorFit:
    """The anchors that training would use, without the detector around them."""
    is_resnet = isinstance(spec.model.backbone, ResNetBackboneSpec)
    neck = (FPN if is_resnet else HRFPN)(in_channels=(1, 1, 1, 1), out_channels=1)  # for its strides
    return AnchorFit(
        anchors=_build_anchors(spec.model.rpn, strides=neck.strides),
        allowed_border=spec.model.rpn.allowed_border_pixels,
        rounds_up=is_resnet or _counts_valid_pixels(spec.norm),
    )


def _build_anchors(rpn: RpnSpec, *, strides: tuple[int, ...]) -> AnchorGenerator:
    return AnchorGenerator(strides=strides, scale=rpn.anchor_scale, aspect_ratios=rpn.anchor_aspect_ratios)


def _counts_valid_pixels(norm: NormSpec) -> bool:
    return isinstance(norm, BatchNormSpec | SyncBatchNormSpec) and norm.statistics == "valid"


def _build_rpn(rpn: RpnSpec, *, channels: int, strides: tuple[int, ...]) -> RegionProposalNetwork:
    return RegionProposalNetwork(
        in_channels=channels,
        anchor_generator=_build_anchors(rpn, strides=strides),
        coder=BoxCoder(stds=rpn.box_stds),
        matcher=Matcher(
            positive_iou=rpn.positive_iou,
            negative_iou=rpn.negative_iou,
            min_positive_iou=rpn.min_positive_iou,
        ),
        sampler=Sampler(
            num_samples=rpn.num_samples, positive_fraction=rpn.positive_fraction, stream=_RPN_STREAM
        ),
        box_loss=_build_box_loss(rpn.box_loss),
        training_selector=ProposalSelector(
            num_candidates_per_level=rpn.num_train_candidates_per_level,
            nms_iou=rpn.nms_iou,
            max_proposals=rpn.num_train_proposals,
        ),
        test_selector=ProposalSelector(
            num_candidates_per_level=rpn.num_test_candidates_per_level,
            nms_iou=rpn.nms_iou,
            max_proposals=rpn.num_test_proposals,
        ),
        allowed_border=rpn.allowed_border_pixels,
    )


def _build_roi_head(
    head: RoiHeadSpec, *, channels: int, num_classes: int, strides: tuple[int, ...]
) -> RoIHead:
    return RoIHead(
        in_channels=channels,
        num_classes=num_classes,
        pooling=RegionPooling(
            strides=strides[:-1],  # the coarsest level proposes only
            cells=head.pool_cells,
            sampling_ratio=head.pool_sampling_ratio,
            aligned=head.pool_aligned,
        ),
        hidden_features=head.hidden_features,
        coder=BoxCoder(stds=head.box_stds),
        matcher=Matcher(
            positive_iou=head.positive_iou, negative_iou=head.positive_iou, min_positive_iou=None
        ),
        sampler=Sampler(
            num_samples=head.num_samples, positive_fraction=head.positive_fraction, stream=_ROI_STREAM
        ),
        box_loss=_build_box_loss(head.box_loss),
        selector=DetectionSelector(
            score_threshold=head.score_threshold, nms_iou=head.nms_iou, max_detections=head.max_detections
        ),
    )


def _build_box_loss(loss: BoxLossSpec) -> BoxLoss:
    return BoxLoss(kind=loss.kind, beta=loss.beta)
