"""Useful pixels of large-scale jitter on one square, and on a few canvases by what pictures draw.

Counts an epoch of pictures of COCO's most frequent sizes; reads and trains nothing. An epoch's work is taken
to be its pixels, so ``work`` is what is left of one square's.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from hrdet_cli.engine.benchmarking.epoch_layout import lay_out_epoch
from hrdet_cli.engine.data.canvas_choice import choose_canvases
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.padding import FixedCanvas, PaddingPolicy, StepCanvases
from hrdet_cli.engine.data.scale_jitter import ScaleJitterAugmentation
from hrdet_cli.engine.data.steps import TrainingSteps, count_sizes
from hrdet_cli.engine.geometry import Scale

from .reporting import show_table

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=20_000)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=8, help="pictures of a process in a step")
    arguments = parser.parse_args()
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


if __name__ == "__main__":
    main()
