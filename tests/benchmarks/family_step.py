"""A training step of each kind of detector against torchvision's with the same backbone: seconds and memory.

Steps are those of ``step_time.py``, made in turn in one process. Memory is the highest of a process of its
own that makes two steps, less what its imports alone take. Cascade R-CNN, which torchvision has not, is
measured against hrdet's Faster R-CNN on the same HRNet.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Any, Literal

import torch
from torchvision.models import detection

from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.engine.training.reports import peak_memory_bytes
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec

from .apart import measure_memory_apart
from .reporting import show_table
from .step_time import HEIGHT, NUM_CLASSES, WIDTH, Step, draw_batch, timed_step

Side = Literal["ours", "theirs"]

TRAINS_ALL = (
    "model.weights=null",
    "model.backbone.frozen_stages=0",
    "norm={kind: batch, keep_statistics: false}",
)
_TORCHVISION_FPN = ("model.neck.coarse_from=neck", "model.neck.coarse_relu=true")
_MASK_CELLS = 112


@dataclass(frozen=True, kw_only=True)
class Case:
    """Two detectors side by side.

    Attributes:
        name: Of ours.
        preset: Of ours.
        settings: What is changed of it.
        rival: torchvision's, or the settings that make another one of our preset.
        goal: Largest ratio of seconds; None for a figure that is only reported.
    """

    name: str
    preset: str
    settings: Sequence[str]
    rival: Callable[..., Any] | Sequence[str]
    goal: float | None = 0.9


CASES: Mapping[str, Case] = {
    "mask": Case(
        name="Mask R-CNN R50-FPN",
        preset="r50-fpn-syncbn",
        settings=("model.head.mask={}",),
        rival=detection.maskrcnn_resnet50_fpn,
    ),
    "retinanet": Case(
        name="RetinaNet R50-FPN",
        preset="mmdet3-retinanet-r50-fpn",
        settings=_TORCHVISION_FPN,
        rival=detection.retinanet_resnet50_fpn,
    ),
    "fcos": Case(
        name="FCOS R50-FPN",
        preset="r50-fpn-syncbn",
        settings=("model.head={kind: fcos}", *_TORCHVISION_FPN),
        rival=detection.fcos_resnet50_fpn,
    ),
    "cascade": Case(
        name="Cascade R-CNN W18",
        preset="hrnet-w18",
        settings=("model.head.kind=cascade_rcnn",),
        rival=(),
        goal=None,
    ),
}


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=[*CASES], help=", ".join(CASES))
    parser.add_argument("--pictures", type=int, default=2, help="pictures in a step")
    parser.add_argument("--steps", type=int, default=7, help="steps of each that count")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    # Before this process grows: one that it starts counts its memory as its own.
    pictures, threads = arguments.pictures, arguments.threads
    memory = [
        tuple(measure_memory_apart(memory_of, name, side, pictures, threads) for side in ("ours", "theirs"))
        for name in arguments.cases
    ]
    rows = []
    for name, (ours, theirs) in zip(arguments.cases, memory, strict=True):
        rows += measure(name, pictures=arguments.pictures, steps=arguments.steps, threads=arguments.threads)
        rows.append(compared(f"{CASES[name].name}, GiB", [(ours, theirs)], ""))
    show_table(
        f"Training step, {arguments.pictures} pictures of {WIDTH}x{HEIGHT}, float32, {arguments.threads} "
        f"threads, medians of {arguments.steps} steps",
        ["", "hrdet", "other", "ratio", "goal"],
        rows,
    )


def measure(name: str, *, pictures: int, steps: int, threads: int) -> list[list[str]]:
    """Rows of seconds and CPU seconds of a case."""
    case = CASES[name]
    torch.set_num_threads(threads)
    ours, theirs = (build_step(case, side, pictures) for side in ("ours", "theirs"))
    ours(), theirs()  # warm up
    pairs = [(ours(), theirs()) for _ in range(steps)]
    goal = "" if case.goal is None else f"<= {case.goal}"
    return [
        compared(f"{case.name}, seconds", [(own.seconds, other.seconds) for own, other in pairs], goal),
        compared(f"{case.name}, CPU seconds", [(a.cpu_seconds, b.cpu_seconds) for a, b in pairs], goal),
    ]


def memory_of(name: str, side: Side, pictures: int, threads: int) -> float:
    """GiB that two steps take in this process."""
    device = torch.device("cpu")
    imported_bytes = peak_memory_bytes(device)
    torch.set_num_threads(threads)
    step = build_step(CASES[name], side, pictures)
    step(), step()
    return (peak_memory_bytes(device) - imported_bytes) / 2**30


def build_step(case: Case, side: Side, num_pictures: int) -> Step:
    """A step of one of a case's two detectors, on the same batch."""
    images, targets = draw_batch(num_pictures)
    torch.manual_seed(0)
    if side == "theirs" and callable(case.rival):
        return torchvision_step(case.rival, images, targets)
    settings = case.settings if side == "ours" or callable(case.rival) else case.rival
    spec = load_spec(preset=case.preset, settings=[*TRAINS_ALL, *settings]).spec
    detector = build_detector(spec, num_classes=NUM_CLASSES, trains=True)
    if spec.model.head.has_masks:
        masks = torch.ones(*targets.labels.shape, _MASK_CELLS, _MASK_CELLS, dtype=torch.uint8)
        targets = replace(targets, masks=masks)
    return timed_step(detector, lambda: detector(images, targets))


def torchvision_step(build: Callable[..., Any], images: ImageBatch, targets: Targets) -> Step:
    """torchvision's, whose pictures are floats and are not resized; objects fill their boxes."""
    is_one_stage = build in (detection.retinanet_resnet50_fpn, detection.fcos_resnet50_fpn)
    first_label = 0 if is_one_stage else 1
    detector = build(
        weights=None,
        weights_backbone=None,
        num_classes=NUM_CLASSES + first_label,
        min_size=HEIGHT,
        max_size=WIDTH,
        _skip_resize=True,
    )
    pictures = list(images.pixels.float() / 255)
    y, x = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    truth = []
    for boxes, labels in zip(targets.boxes, targets.labels, strict=True):
        left, top, right, bottom = boxes.T[:, :, None, None]
        masks = (x >= left) & (x < right) & (y >= top) & (y < bottom)
        truth.append({"boxes": boxes, "labels": labels + first_label, "masks": masks.byte()})
    return timed_step(detector, partial(detector, pictures, truth))


def compared(what: str, pairs: Sequence[tuple[float, float]], goal: str) -> list[str]:
    """A row of medians and the median ratio."""
    ours, theirs = (median(column) for column in zip(*pairs, strict=True))
    return [what, f"{ours:.2f}", f"{theirs:.2f}", f"{median(a / b for a, b in pairs):.2f}", goal]


if __name__ == "__main__":
    main()
