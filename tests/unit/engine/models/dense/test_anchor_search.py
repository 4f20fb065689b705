"""Anchors of boxes whose best anchors are known."""

from dataclasses import replace

import numpy as np
import pytest

from hrdet_cli.engine.models.dense.anchor_search import RATIOS, SCALES, fit_anchors, fit_anchors_by_level
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorShapes

_STRIDES = (4, 8, 16, 32, 64)
_RPN = AnchorShapes(strides=_STRIDES)
_RETINANET = AnchorShapes(strides=(8, 16, 32, 64, 128), scale=4, scales_per_octave=3)


def _boxes_of(shapes: AnchorShapes) -> np.ndarray:
    """A box of the size of each anchor of a cell of each level."""
    return (shapes.cells[..., 2:] - shapes.cells[..., :2]).reshape(-1, 2).astype(np.float64)


def worth(shapes: AnchorShapes, boxes: np.ndarray) -> float:
    """By the definition, box by box."""
    anchors = _boxes_of(shapes).reshape(len(shapes.strides), -1, 2)
    best = []
    for width, height in boxes.round():
        overlaps = []
        for stride, level in zip(shapes.strides, anchors, strict=True):
            for w, h in level:
                x = max(0, min(width, w, (width + w) / 2 - stride / 4))
                y = max(0, min(height, h, (height + h) / 2 - stride / 4))
                overlaps.append(x * y / (width * height + w * h - x * y))
        best.append(max(overlaps))
    return float(np.mean([(iou >= 0.7) + iou for iou in best]))


@pytest.mark.parametrize(
    ("shapes", "scale", "ratios"),
    [
        (_RPN, 5.66, (0.5, 1.0, 2.0)),
        (_RPN, 16.0, (0.25, 0.5, 0.707)),
        (_RPN, 9.51, (1.41, 2.0, 2.83)),
        (replace(_RPN, aspect_ratios=(1.0,)), 11.3, (1.68,)),
        (replace(_RPN, aspect_ratios=(1.0,) * 5), 13.5, (0.25, 0.5, 1.0, 2.0, 4.0)),
        (_RETINANET, 6.73, (0.42, 1.0, 2.0)),
    ],
)
def test_anchors_are_found_that_boxes_were_made_of(
    shapes: AnchorShapes, scale: float, ratios: tuple[float, ...]
) -> None:
    assert scale in SCALES
    assert set(ratios) <= set(RATIOS)
    boxes = _boxes_of(replace(shapes, scale=scale, aspect_ratios=ratios))
    found = fit_anchors(shapes, boxes, positive_iou=0.7)
    assert (found.scale, found.aspect_ratios) == (scale, ratios)
    assert replace(found, scale=shapes.scale, aspect_ratios=shapes.aspect_ratios) == shapes


def test_what_is_found_is_worth_at_least_what_any_three_ratios_and_the_published_ones_are() -> None:
    rng = np.random.default_rng(0)
    sides, ratios = rng.lognormal(4, 0.5, 300), rng.lognormal(0.4, 0.5, 300)
    boxes = np.stack([sides / np.sqrt(ratios), sides * np.sqrt(ratios)], axis=1)

    found = worth(fit_anchors(_RPN, boxes, positive_iou=0.7), boxes)
    others = [replace(_RPN, scale=scale) for scale in SCALES[::4]] + [
        replace(_RPN, scale=float(rng.choice(SCALES)), aspect_ratios=tuple(rng.choice(RATIOS, 3)))
        for _ in range(30)
    ]
    assert found > max(worth(other, boxes) for other in others)


@pytest.mark.parametrize("shapes", [_RPN, replace(_RPN, scales_per_octave=2), _RETINANET])
def test_scales_by_level_are_worth_more_than_any_one_scale_and_no_level_has_smaller_ones_than_the_one_before(
    shapes: AnchorShapes,
) -> None:
    rng = np.random.default_rng(1)
    sides = np.concatenate([rng.normal(side, side / 30, 100) for side in (40, 60, 90, 135, 200)])
    boxes = np.stack([sides, sides * rng.normal(1, 0.1, len(sides))], axis=1)
    one, several = (fit(shapes, boxes, positive_iou=0.7) for fit in (fit_anchors, fit_anchors_by_level))
    assert isinstance(several.scale, tuple)
    assert set(several.scale) <= set(SCALES)
    assert np.all(np.diff([level[0] for level in several.sides()]) >= 0)
    assert worth(several, boxes) > worth(one, boxes)
    assert (several.num_per_cell, several.strides) == (one.num_per_cell, one.strides)


def test_boxes_count_as_often_as_they_are_there() -> None:
    boxes = np.array([[50.0, 50.0]] * 99 + [[20.0, 80.0]])
    found = fit_anchors(replace(_RPN, aspect_ratios=(2.0,)), boxes, positive_iou=0.7)
    assert found.aspect_ratios == (1.0,)
