"""COCO's numbers of many detections by both back ends in turn, and whether their arrays are the same.

Processor time of all threads, so that other work beside it does not count.
"""

import argparse
import time

import numpy as np

from hrdet_cli.engine.evaluation.back_ends import BackEnd, compare
from hrdet_cli.engine.evaluation.comparison import Comparison, Curves, Objects

from .reporting import show_table

NUM_CLASSES = 80
OBJECTS_A_PICTURE = 7  # as COCO has
SIZE = (480, 640)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--detections", type=int, default=100, help="of each picture")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    comparison = make_comparison(arguments.pictures, arguments.detections)
    seconds: dict[BackEnd, list[float]] = {"hotcoco": [], "pycocotools": []}
    curves: dict[BackEnd, Curves] = {}
    for _ in range(arguments.rounds):
        for back_end, spent in seconds.items():
            start = time.process_time()
            curves[back_end] = compare(comparison, back_end)
            spent.append(time.process_time() - start)
    fast, slow = curves["hotcoco"], curves["pycocotools"]
    is_same = np.array_equal(fast.precision, slow.precision) and np.array_equal(fast.recall, slow.recall)
    best = {back_end: min(spent) for back_end, spent in seconds.items()}
    show_table(
        f"{arguments.pictures} pictures of {OBJECTS_A_PICTURE} objects and {arguments.detections} detections",
        ["back end", "processor s", "ratio"],
        [[name, f"{spent:.2f}", f"{spent / best['pycocotools']:.3f}"] for name, spent in best.items()],
        notes=[f"least of {arguments.rounds}; precision and recall are the same to the last bit: {is_same}"],
    )


def make_comparison(num_pictures: int, num_found: int) -> Comparison:
    """Objects all over, and detections half of which lie near one."""
    random = np.random.default_rng(0)

    def draw(number: int) -> Objects:
        edges = np.exp(random.uniform(2, 5.5, (number * num_pictures, 2)))
        corners = random.uniform(0, 1, edges.shape) * np.maximum([SIZE[1], SIZE[0]] - edges, 1)
        return Objects(
            pictures=np.repeat(np.arange(num_pictures), number),
            classes=random.integers(NUM_CLASSES, size=len(edges)),
            boxes=np.concatenate([corners, edges], axis=1),
            areas=edges.prod(axis=1),
        )

    truth, found = draw(OBJECTS_A_PICTURE), draw(num_found)
    rows = np.flatnonzero(random.random(len(found.boxes)) < 0.5)
    near = found.pictures[rows] * OBJECTS_A_PICTURE + random.integers(OBJECTS_A_PICTURE, size=len(rows))
    moved = random.normal(0, 0.1, (len(rows), 4)) * truth.boxes[near][:, [2, 3, 2, 3]]
    found.classes[rows], found.boxes[rows] = truth.classes[near], truth.boxes[near] + moved
    return Comparison(
        task="box",
        truth=truth,
        is_crowd=np.zeros(len(truth.boxes), dtype=np.bool_),
        found=found,
        scores=random.random(len(found.boxes)),
        picture_sizes=np.tile(np.array(SIZE, dtype=np.int32), (num_pictures, 1)),
        num_classes=NUM_CLASSES,
        limits=(1, 10, 100),
    )


if __name__ == "__main__":
    main()
