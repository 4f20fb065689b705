"""Two detectors with the same trunk, whose training steps are measured: hrdet's and torchvision's."""

import itertools
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.data.noise import make_noise_batch
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.necks.hrfpn import HRFPN
from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.engine.training.optimiser import Sgd, build_optimiser
from hrdet_cli.runs.build.detector import build_detector, place_detector
from hrdet_cli.runs.build.numerics import build_training_numerics
from hrdet_cli.runs.build.trainer import build_trainer
from hrdet_cli.runs.stopping import never
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import load_spec

NUM_CLASSES, NUM_BOXES = 80, 20
PLAIN_NORM = "norm={kind: batch, keep_statistics: false}"
"""Of torchvision's detector, and of hrdet's where nothing but the head is to differ."""
Step = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What steps are made of.

    Attributes:
        preset: Of both detectors' trunk.
        canvas: Which all pictures fill.
        precision: As ``run.precision``.
        device: Where.
    """

    preset: str
    canvas: Size
    precision: str
    device: torch.device

    def spec(self, *settings: str) -> ExperimentSpec:
        """With random weights."""
        of_scene = ("model.weights=null", f"run.precision={self.precision}")
        return load_spec(preset=self.preset, settings=[*of_scene, *settings]).spec

    def batch(self, num_pictures: int) -> Batch:
        """Noise on the device, where a loader's batches are."""
        batch = make_noise_batch(
            self.canvas, num_pictures=num_pictures, num_boxes=NUM_BOXES, num_classes=NUM_CLASSES
        )
        return batch.to(self.device)


class _SameBatch:
    """Gives a trainer one batch again and again."""

    num_steps_per_epoch = 1_000_000

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self.num_images_per_step = len(batch)
        self.steps = SimpleNamespace(canvases=(batch.images.canvas,))

    def batches(self, epoch: int, *, first_step: int = 0) -> Iterator[Batch]:  # noqa: ARG002 - a loader's
        return itertools.repeat(self._batch)


def hrdet_step(scene: Scene, num_pictures: int, *settings: str) -> Step:
    """A whole step of a training run, at a rate of 0, which costs the same and keeps the steps alike."""
    spec = scene.spec(*settings)
    torch.manual_seed(0)
    detector = build_detector(spec, num_classes=NUM_CLASSES, trains=True)
    loader = cast("TrainingLoader", _SameBatch(scene.batch(num_pictures)))
    trainer = build_trainer(
        spec,
        place_detector(detector, spec.run, scene.device),
        loader,
        scene.device,
        learning_rate=0.0,
        stop_asked=never,
    )
    reports = trainer.train_epoch()
    return partial(next, reports)


class _Trunk(nn.Module):
    """Backbone and neck as torchvision's detectors want them."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.backbone, self.neck = detector.backbone, detector.neck
        self.out_channels = cast("HRFPN", detector.neck).out_channels

    def forward(self, pixels: Tensor) -> OrderedDict[str, Tensor]:
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        levels = self.neck(self.backbone(pixels, None), None).levels
        return OrderedDict((str(index), level) for index, level in enumerate(levels))


def torchvision_step(scene: Scene, num_pictures: int) -> Step:
    """The same of torchvision's Faster R-CNN on the same trunk, with as many proposals and samples.

    Its pictures are floats on the device before the step begins, and are not resized in it.
    """
    spec = scene.spec(PLAIN_NORM)
    torch.manual_seed(0)
    trunk = _Trunk(build_detector(spec, num_classes=NUM_CLASSES, trains=True))
    detector: nn.Module = FasterRCNN(
        trunk,
        num_classes=NUM_CLASSES + 1,
        min_size=min(scene.canvas.height, scene.canvas.width),
        max_size=max(scene.canvas.height, scene.canvas.width),
        _skip_resize=True,
    )
    place_detector(cast("Detector", detector), spec.run, scene.device).train()
    is_cuda = scene.device.type == "cuda"
    optimiser = build_optimiser(detector, Sgd(momentum=0.9), weight_decay=1e-4, is_fused=is_cuda)
    batch = scene.batch(num_pictures)
    pictures = [picture.to(scene.device).float() / 255 for picture in batch.images.pixels]
    truth = [
        {"boxes": boxes.to(scene.device), "labels": (labels + 1).to(scene.device)}
        for boxes, labels in zip(batch.targets.boxes, batch.targets.labels, strict=True)
    ]
    for one, is_valid in zip(truth, batch.targets.is_valid, strict=True):  # without the padding rows
        one.update({name: rows[is_valid.to(scene.device)] for name, rows in one.items()})
    return partial(
        _rival_step, detector, optimiser, pictures, truth, build_training_numerics(spec, scene.device)
    )


def _rival_step(
    detector: nn.Module,
    optimiser: torch.optim.Optimizer,
    pictures: list[Tensor],
    truth: list[dict[str, Tensor]],
    numerics: Numerics,
) -> float:
    """What a trainer does in a step: losses are read, and gradients are clipped."""
    optimiser.zero_grad(set_to_none=True)
    with numerics.applied():
        with numerics.forward_pass(pictures[0].device.type):
            losses: dict[str, Any] = detector(pictures, truth)
        loss = torch.stack([loss.float() for loss in losses.values()]).sum()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(detector.parameters(), 35.0)
        value = loss.item()
        optimiser.step()
    return value
