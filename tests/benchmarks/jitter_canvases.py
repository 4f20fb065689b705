"""Useful pixels of large-scale jitter on one square, and on a few canvases by what pictures draw.

    python -m tests.benchmarks.jitter_canvases
    python -m tests.benchmarks.jitter_canvases --epochs 1

Counts an epoch of pictures of COCO's most frequent sizes; reads and trains nothing. An epoch's work is taken
to be its pixels, so ``work`` is what is left of one square's.

With ``--epochs`` it makes that many of the demo's pictures instead, by its small detector on one thread, each
way's steps in turn, and gives the processor time of reading and of the steps.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from hrdet_cli.engine.benchmarking.epoch_layout import lay_out_epoch
from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.canvas_choice import choose_canvases
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.padding import FixedCanvas, PaddingPolicy, StepCanvases
from hrdet_cli.engine.data.scale_jitter import ScaleJitterAugmentation
from hrdet_cli.engine.data.shape_classes import count_sizes
from hrdet_cli.engine.data.steps import TrainingSteps
from hrdet_cli.engine.geometry import Scale
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.dataset.opening import open_part
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.layers import mapping_layers
from hrdet_cli.specs.loading import load_spec

from .recipes import BUCKETS, ONE_CANVAS
from .recipes import JITTER as DEMO_JITTER
from .reporting import show_table
from .step_time import timed_step

EDGE = 1024
# (height, width) of train2017 and how many thousand pictures have it, rounded
THOUSANDS_BY_SIZE = {
    (480, 640): 24,
    (427, 640): 16,
    (426, 640): 8,
    (640, 480): 10,
    (640, 427): 5,
    (375, 500): 6,
    (333, 500): 3,
    (500, 375): 2,
    (360, 640): 2,
    (640, 640): 2,
    (612, 612): 2,
}
JITTER = ScaleJitterAugmentation(edge=EDGE, flip_probability=0.5)
WAYS: Mapping[str, Mapping[str, object]] = {
    "one square": ONE_CANVAS,
    "4 chosen canvases": {"padding": {"policy": "canvases", "num_canvases": 4}},
    "6 chosen canvases": BUCKETS,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=8, help="pictures of a process in a step")
    parser.add_argument("--epochs", type=int, default=0, help="of the demo, made instead")
    arguments = parser.parse_args()
    if arguments.epochs:
        make_epochs(arguments.epochs)
    else:
        count_pixels(arguments)


def count_pixels(arguments: argparse.Namespace) -> None:
    """Print the table of what is counted."""
    annotations = sized_annotations(arguments.pictures)
    indices = np.arange(len(annotations))
    sizes = count_sizes(annotations, indices)
    squares = tuple(Scale(edge, edge) for edge in (1024, 768, 512))
    policies: dict[str, PaddingPolicy] = {"one square": FixedCanvas(long=EDGE, short=EDGE)}
    policies["squares of 512, 768, 1024"] = StepCanvases(canvases=squares, shares_scale=False)
    for number in (3, 4, 6, 9):
        canvases = choose_canvases(sizes, JITTER, num_canvases=number)
        policies[f"{number} chosen canvases"] = StepCanvases(canvases=canvases, shares_scale=False)
    rows, works = [], []
    for name, padding in policies.items():
        steps = TrainingSteps(
            annotations=annotations,
            indices=indices,
            augmentation=JITTER,
            padding=padding,
            batch_size=arguments.batch_size * arguments.processes,
            seed=0,
        )
        started = time.perf_counter()
        steps.order_of(0)
        seconds = time.perf_counter() - started
        layout = lay_out_epoch(steps, num_processes=arguments.processes)
        works.append(layout.num_useful_pixels / layout.useful_pixel_share)
        rows.append(
            [
                name,
                f"{layout.useful_pixel_share:.1%}",
                f"{len(layout.count_by_canvas)}",
                f"{works[-1] / works[0]:.2f}",
                f"{layout.imbalance:.2f}",
                f"{1e6 * seconds / arguments.pictures:.0f}",
            ]
        )
    show_table(
        f"Large-scale jitter, edge {EDGE}: {arguments.pictures} pictures of COCO's sizes, "
        f"{arguments.processes} processes of {arguments.batch_size}",
        ["", "useful", "shapes", "work", "imbalance", "order, us a picture"],
        rows,
    )


def sized_annotations(num_pictures: int) -> CocoAnnotations:
    """Annotations of pictures that have nothing but a size."""
    sizes = np.array(list(THOUSANDS_BY_SIZE), dtype=np.int32)
    shares = np.array(list(THOUSANDS_BY_SIZE.values())) / sum(THOUSANDS_BY_SIZE.values())
    return CocoAnnotations(
        path=Path("train.json"),
        fingerprint="",
        image_ids=np.arange(num_pictures),
        file_names=np.array([f"{index}.jpg" for index in range(num_pictures)]),
        sizes=sizes[np.random.default_rng(0).choice(len(sizes), num_pictures, p=shares)],
        offsets=np.zeros(num_pictures + 1, dtype=np.int64),
        boxes=np.zeros((0, 4), dtype=np.float32),
        labels=np.zeros(0, dtype=np.int64),
        is_crowd=np.zeros(0, dtype=np.bool_),
        class_names=("thing",),
        category_ids=(1,),
        dropped_boxes={},
    )


@dataclass(frozen=True)
class StepCost:
    """CPU seconds of a step, and its pixels.

    Attributes:
        reading: Reading, placing and padding its pictures.
        training: Forward and backward pass, and the optimiser.
    """

    reading: float
    training: float
    num_useful_pixels: int
    num_pixels: int


def make_epochs(num_epochs: int) -> None:
    """Make epochs of the demo's pictures in each way, and print what they took."""
    torch.set_num_threads(1)
    costs: dict[str, list[StepCost]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as root:
        common = {"data.root": root, **DEMO_JITTER}
        specs = [
            load_spec(preset="demo", extra_layers=mapping_layers({**common, **way})).spec
            for way in WAYS.values()
        ]
        detector = build_detector(specs[0], num_classes=6, trains=True)
        for epoch in range(num_epochs):
            for in_turn in zip_longest(*(steps_of(spec, detector, epoch) for spec in specs)):
                for of_way, cost in zip(costs.values(), in_turn, strict=True):
                    of_way += [] if cost is None else [cost]
    sums = {name: _sum(of_way) for name, of_way in costs.items()}
    plain = sums["one square"]
    show_table(
        f"{num_epochs} epochs of the demo with large-scale jitter, edge 320, batches of 2, one thread",
        ["", "steps", "useful", "pixels", "CPU s", "ratio", "of that reading", "ratio"],
        [
            [
                name,
                f"{len(costs[name])}",
                f"{cost.num_useful_pixels / cost.num_pixels:.1%}",
                f"{cost.num_pixels / plain.num_pixels:.2f}",
                f"{cost.reading + cost.training:.1f}",
                f"{(cost.reading + cost.training) / (plain.reading + plain.training):.2f}",
                f"{cost.reading:.2f}",
                f"{cost.reading / plain.reading:.2f}",
            ]
            for name, cost in sums.items()
        ],
    )


def steps_of(spec: ExperimentSpec, detector: Detector, epoch: int) -> Iterator[StepCost]:
    """Make the steps of an epoch, one each time that the next is asked for."""
    part = open_part(spec.data, "train")
    read: list[Batch] = []
    step = timed_step(detector, lambda: detector(read[-1].images, read[-1].targets))
    with build_training_loader(spec, part, torch.device("cpu")) as loader:
        batches = iter(loader.batches(epoch))
        while True:
            started = time.process_time()
            batch = next(batches, None)
            reading = time.process_time() - started
            if batch is None:
                return
            read[:] = [batch]
            num_useful = sum(record.placement.placed.num_pixels for record in batch.records)
            num_pixels = len(batch) * batch.images.canvas.num_pixels
            yield StepCost(reading, step().cpu_seconds, num_useful, num_pixels)


def _sum(costs: Sequence[StepCost]) -> StepCost:
    return StepCost(
        reading=sum(cost.reading for cost in costs),
        training=sum(cost.training for cost in costs),
        num_useful_pixels=sum(cost.num_useful_pixels for cost in costs),
        num_pixels=sum(cost.num_pixels for cost in costs),
    )


if __name__ == "__main__":
    main()
