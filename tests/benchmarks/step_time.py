"""Seconds of a training step (forward, backward, SGD) against torchvision's Faster R-CNN R50-FPN.

Both train every layer with plain BatchNorm on the same pictures, boxes and numbers of proposals and samples,
step by step in turn. torchvision gets its pictures as floats and leaves out its resize; converting from
uint8 is part of hrdet's step.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

import torch
from torch import Tensor, nn
from torchvision.models.detection import fasterrcnn_resnet50_fpn

from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.engine.training.optimiser import Sgd, build_optimiser
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec

from .reporting import show_table

HEIGHT, WIDTH = 480, 640
NUM_CLASSES = 80
NUM_BOXES = 10
SETTINGS = (  # what torchvision does without weights
    "model.weights=null",
    "model.backbone.frozen_stages=0",
    "norm={kind: batch}",
    "model.head.rpn.allowed_border_pixels=null",
    "model.head.roi_head.pool_aligned=false",
)


@dataclass(frozen=True)
class Duration:
    """Of one step. CPU time, over all threads, says more when other work shares the machine."""

    seconds: float
    cpu_seconds: float


Step = Callable[[], Duration]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2, help="pictures in a step")
    parser.add_argument("--steps", type=int, default=7, help="steps of each that count")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images, targets = draw_batch(arguments.pictures)
    our_step, their_step = hrdet_step(images, targets), torchvision_step(images, targets)
    our_step(), their_step()  # warm up
    pairs = [(our_step(), their_step()) for _ in range(arguments.steps)]
    show_pairs(
        pairs, ("hrdet", "torchvision"), num_pictures=arguments.pictures, num_threads=arguments.threads
    )


def show_pairs(
    pairs: Sequence[tuple[Duration, Duration]], names: tuple[str, str], *, num_pictures: int, num_threads: int
) -> None:
    """Print what pairs of steps of Faster R-CNN R50-FPN took, each as it is called."""
    show_table(
        f"Training step, Faster R-CNN R50-FPN, {num_pictures} pictures of {WIDTH}x{HEIGHT}, float32, "
        f"{num_threads} threads, medians of {len(pairs)} steps",
        ["", *names, "ratio", "goal"],
        [
            compare("seconds", [(ours.seconds, theirs.seconds) for ours, theirs in pairs]),
            compare("CPU seconds", [(ours.cpu_seconds, theirs.cpu_seconds) for ours, theirs in pairs]),
        ],
    )


def draw_batch(num_pictures: int) -> tuple[ImageBatch, Targets]:
    """Noise with random boxes."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand((num_pictures, NUM_BOXES, 2), generator=generator) * torch.tensor([400.0, 300.0])
    sides = torch.rand((num_pictures, NUM_BOXES, 2), generator=generator) * 150 + 20
    images = ImageBatch(
        pixels=torch.randint(256, (num_pictures, 3, HEIGHT, WIDTH), dtype=torch.uint8, generator=generator),
        sizes=torch.tensor([[HEIGHT, WIDTH]] * num_pictures),
        keys=torch.arange(num_pictures),
    )
    targets = Targets(
        boxes=torch.cat((corners, corners + sides), dim=2),
        labels=torch.randint(NUM_CLASSES, (num_pictures, NUM_BOXES), generator=generator),
        is_valid=torch.ones((num_pictures, NUM_BOXES), dtype=torch.bool),
    )
    return images, targets


def hrdet_step(images: ImageBatch, targets: Targets) -> Step:
    spec = load_spec(preset="r50-fpn-syncbn", settings=SETTINGS).spec
    torch.manual_seed(0)
    detector = build_detector(spec, num_classes=NUM_CLASSES, trains=True)
    return timed_step(detector, lambda: detector(images, targets))


def torchvision_step(images: ImageBatch, targets: Targets) -> Step:
    torch.manual_seed(0)
    detector = fasterrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=NUM_CLASSES + 1,
        min_size=HEIGHT,
        max_size=WIDTH,
        _skip_resize=True,
    )
    pictures = list(images.pixels.float() / 255)
    truth = [
        {"boxes": boxes, "labels": labels + 1}
        for boxes, labels in zip(targets.boxes, targets.labels, strict=True)
    ]
    return timed_step(detector, lambda: detector(pictures, truth))


def timed_step(detector: nn.Module, losses_of: Callable[[], dict[str, Tensor]]) -> Step:
    """A training step that says how long it took."""
    detector.train()
    optimiser = build_optimiser(detector, Sgd(momentum=0.9), weight_decay=1e-4)

    def make() -> None:
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(torch.stack(list(losses_of().values())).sum())
        optimiser.step()  # at a rate of 0, which costs the same and keeps the steps alike

    return partial(duration_of, make)


def duration_of(call: Callable[[], object]) -> Duration:
    """How long it takes."""
    started, started_cpu = time.perf_counter(), time.process_time()
    call()
    return Duration(time.perf_counter() - started, time.process_time() - started_cpu)


def compare_in_turn(
    name: str, ours: Callable[[], object], other: Callable[[], object], *, rounds: int
) -> list[str]:
    """A row of medians and the median ratio of the processor time of two that are called in turn."""
    ours(), other()  # warm up
    pairs = [(duration_of(ours).cpu_seconds, duration_of(other).cpu_seconds) for _ in range(rounds)]
    medians = (median(column) for column in zip(*pairs, strict=True))
    return [name, *(f"{value:.2f}" for value in medians), f"{median(a / b for a, b in pairs):.2f}"]


def compare(what: str, pairs: Sequence[tuple[float, float]]) -> list[str]:
    """A row of medians and the median ratio."""
    ours, theirs = (median(column) for column in zip(*pairs, strict=True))
    ratio = median(our / their for our, their in pairs)
    return [what, f"{ours:.2f}", f"{theirs:.2f}", f"{ratio:.2f}", "<= 1"]


if __name__ == "__main__":
    main()
