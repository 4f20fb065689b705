"""Comparisons with everything that annotations and detections may have, drawn by hypothesis."""

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from hrdet_cli.engine.evaluation.comparison import SIZES, Comparison, Objects, PackedRuns, Task

EDGE = 160
"""Of all pictures: objects of COCO's three sizes fit."""
BOUNDARIES = [
    area
    for boundary in sorted({end for ends in SIZES.values() for end in ends})
    for area in (np.nextafter(boundary, -1), float(boundary), np.nextafter(boundary, np.inf))
]


@st.composite
def comparisons(draw: st.DrawFn, task: Task) -> Comparison:
    """Pictures and classes that may have nothing to find or nothing found, crowds, more than 100 detections.

    Half of the detections are objects' boxes. Coordinates and scores may have few digits, so that many
    overlaps and scores are equal. Sides may be zero or negative, which nothing keeps a file from having, and
    areas lie on COCO's boundaries or next to them.
    """
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    num_pictures, num_classes = draw(st.sampled_from([(1, 1), (4, 3), (1, 1)]))
    num_objects = draw(st.sampled_from([12, 30, 12, 5, 0]))
    num_found = draw(st.sampled_from([20, 1, 0, 150, 150, 400 if task == "box" else 150]))
    grid, digits = draw(st.sampled_from([0.01, 10, 40])), draw(st.sampled_from([1, 2, 17]))
    share_of_odd_sides = draw(st.sampled_from([0, 0.3]))

    def draw_places(number: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        corners = np.floor(random.uniform(0, EDGE - grid, (number, 2)) / grid) * grid
        edges = np.ceil(random.uniform(0, EDGE - corners) / grid) * grid
        is_odd = random.random(edges.shape) < share_of_odd_sides
        edges[is_odd] *= random.choice([0, -1], size=is_odd.sum())
        pictures, classes = (
            random.integers(num_pictures, size=number),
            random.integers(num_classes, size=number),
        )
        return pictures, classes, np.concatenate([corners, edges], axis=1)

    def make_side(
        pictures: NDArray[np.int64], classes: NDArray[np.int64], boxes: NDArray[np.float64]
    ) -> Objects:
        masks = [ellipse_in(box) for box in boxes] if task == "mask" else []
        areas = boxes[:, 2] * boxes[:, 3] * random.uniform(0.5, 1, len(boxes))
        is_at_boundary = random.random(len(boxes)) < 0.3
        areas[is_at_boundary] = random.choice(BOUNDARIES, size=is_at_boundary.sum())
        return Objects(pictures, classes, boxes, areas, masks)

    true, found = draw_places(num_objects), draw_places(num_found)
    is_hit = random.random(num_found) < (0.5 if num_objects else 0)
    hit = random.integers(max(num_objects, 1), size=is_hit.sum())
    for of_found, of_true in zip(found, true, strict=True):
        of_found[is_hit] = of_true[hit]
    return Comparison(
        task=task,
        truth=make_side(*true),
        is_crowd=random.random(num_objects) < draw(st.sampled_from([0.3, 0, 0.3, 0, 0.3, 1])),
        found=make_side(*found),
        scores=random.random(num_found).round(digits),
        picture_sizes=np.full((num_pictures, 2), EDGE, dtype=np.int32),
        num_classes=num_classes,
        limits=draw(st.sampled_from([(1, 10, 100), (1, 10, 100, 300), (1, 10, 100, 300, 1000)])),
    )


def ellipse_in(box: NDArray[np.float64]) -> PackedRuns:
    x, y, width, height = box
    rows, columns = np.ogrid[0.5:EDGE, 0.5:EDGE]
    across, down = ((columns - x) * 2 - width) * height, ((rows - y) * 2 - height) * width
    is_inside = across**2 + down**2 < (width * height) ** 2
    packed: PackedRuns = coco_mask.encode(np.asfortranarray(is_inside, dtype=np.uint8))
    return packed
