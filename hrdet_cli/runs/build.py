"""From spec to engine: the one place where settings become objects."""

from collections.abc import Callable

import torch

from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.loader import EvaluationLoader, TrainingLoader
from hrdet_cli.engine.data.padding import SmallestCanvas
from hrdet_cli.engine.data.transforms import ResizeAugmentation
from hrdet_cli.engine.distributed.world import World, current_world
from hrdet_cli.engine.geometry import Scale
from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.models.backbones.resnet import ResNet
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.necks.fpn import FPN
from hrdet_cli.engine.models.necks.hrfpn import HRFPN
from hrdet_cli.engine.norm.back_ends import require_back_end
from hrdet_cli.engine.norm.convert import NormReport, convert_norm
from hrdet_cli.engine.training.averaging import WeightAverage
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.engine.training.optimiser import build_sgd
from hrdet_cli.engine.training.schedule import StepSchedule
from hrdet_cli.runs.anchors import counts_valid_pixels
from hrdet_cli.runs.build_heads import build_head
from hrdet_cli.runs.dataset import DatasetPart
from hrdet_cli.runs.parameter_groups import build_parameter_groups
from hrdet_cli.runs.steps import build_augmentation, build_resizing, build_steps
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.model import ModelSpec, ResNetBackboneSpec
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


def build_plain_detector(model: ModelSpec, *, num_classes: int) -> Detector:
    """The detector with plain BatchNorm everywhere."""
    backbone: HRNet | ResNet
    neck: HRFPN | FPN
    if isinstance(model.backbone, ResNetBackboneSpec):
        backbone = ResNet(
            depth=model.backbone.depth,
            style=model.backbone.style,
            frozen_stages=model.backbone.frozen_stages,
            activation_checkpointing=model.activation_checkpointing,
        )
        neck = FPN(in_channels=backbone.out_channels, out_channels=model.neck_channels)
    else:
        backbone = HRNet(
            HRNET_CONFIGS[model.backbone.width],
            frozen_stages=model.backbone.frozen_stages,
            activation_checkpointing=model.activation_checkpointing,
        )
        neck = HRFPN(
            in_channels=backbone.out_channels,
            out_channels=model.neck_channels,
            interpolation=model.backbone.neck_interpolation,
            pooling=model.backbone.neck_pooling,
        )
    return Detector(
        backbone=backbone,
        neck=neck,
        head=build_head(model, num_classes=num_classes, strides=neck.strides),
        pixel_mean=model.pixel_mean,
        pixel_std=model.pixel_std,
        pixel_order=model.pixel_order,
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


def build_training_loader(
    spec: ExperimentSpec, part: DatasetPart, device: torch.device, *, world: World | None = None
) -> TrainingLoader:
    """Training batches of this process, or of another one that shows what it would get."""
    world = world or current_world()
    return TrainingLoader(
        dataset=PictureDataset(
            annotations=part.annotations,
            images=part.images,
            augmentation=build_augmentation(spec.augmentation, build_resizing(spec)),
            seed=spec.run.seed,
        ),
        steps=build_steps(spec, part.annotations, num_processes=world.size),
        world=world,
        num_workers=spec.data.num_workers,
        pin_memory=device.type == "cuda",
        skips_broken=spec.data.broken_pictures == "skip",
    )


def build_evaluation_loader(
    spec: ExperimentSpec, part: DatasetPart, device: torch.device, *, leaves_out_broken: bool = False
) -> EvaluationLoader:
    """This process's share of a part's pictures, at the evaluation scale."""
    return EvaluationLoader(
        dataset=PictureDataset(
            annotations=part.annotations,
            images=part.images,
            augmentation=build_evaluation_augmentation(spec),
            seed=spec.run.seed,
        ),
        batch_size=spec.evaluation.batch_size,
        world=current_world(),
        padding=SmallestCanvas(),
        num_workers=spec.data.num_workers,
        pin_memory=device.type == "cuda",
        leaves_out_broken=leaves_out_broken,
    )


def build_evaluation_augmentation(spec: ExperimentSpec) -> ResizeAugmentation:
    """How pictures are placed that are detected in: all at one scale, without any chance."""
    return ResizeAugmentation(
        scales=(Scale(*spec.evaluation.scale_pixels),),
        mode="choice",
        flip_probability=0,
        resizing=build_resizing(spec),
    )


def build_trainer(
    spec: ExperimentSpec,
    detector: Detector,
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
    optimisation, ema = spec.optimisation, spec.optimisation.ema
    return Trainer(
        model=detector,
        optimiser=build_sgd(
            detector,
            momentum=optimisation.momentum,
            weight_decay=optimisation.weight_decay,
            groups=build_parameter_groups(optimisation),
        ),
        schedule=StepSchedule(
            learning_rate=learning_rate,
            warmup_steps=optimisation.warmup_steps_of(loader.num_steps_per_epoch * optimisation.num_epochs),
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
        average=None if ema is None else WeightAverage(detector, decay=ema.decay),
    )


def place_detector(detector: Detector, run: RunSpec, device: torch.device) -> Detector:
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
