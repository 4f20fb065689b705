"""Which anchors fit boxes best, by the boxes' sizes alone. Does not import torch."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.models.dense.anchor_shapes import AnchorShapes

Vector = NDArray[np.float64]

SCALES = tuple(float(f"{2 ** (step / 8):.3g}") for step in range(-8, 41))
"""From half a stride to 32 strides, eight an octave."""
RATIOS = tuple(float(f"{2 ** (step / 4):.3g}") for step in sorted(range(-12, 13), key=abs))
"""From 1/8 to 8, four an octave, the squarest first."""
_LEAST_GAIN = 1e-9
_TYPICAL_OFFSET = 0.25
"""Strides from a box's centre to the nearest anchor's on each axis, on average over all places."""


def fit_anchors(shapes: AnchorShapes, sizes: Vector, *, positive_iou: float) -> AnchorShapes:
    """The scale and as many aspect ratios as there are that fit boxes best.

    Every scale of `SCALES` is tried. At each, aspect ratios are taken from `RATIOS` one by one, and then
    exchanged one by one for as long as that gains anything. What counts is the share of boxes that an anchor
    overlaps at least ``positive_iou``, and the mean of all boxes' highest overlaps, added up. Boxes are taken
    to lie a quarter of a cell beside the nearest anchor, and wholly inside of what anchors cover.

    Args:
        shapes: The levels, and how many scales and ratios there are at a position.
        sizes: ``(B, 2)`` widths and heights in canvas pixels; at least one.
        positive_iou: What makes an anchor positive.
    """
    unique, shares = _count_sizes(sizes)
    found: list[tuple[float, float, tuple[float, ...]]] = []
    for scale in SCALES:
        overlaps = _overlaps(unique, replace(shapes, scale=scale)).max(axis=0)
        worth, ratios = _choose_ratios(
            overlaps, shares, number=len(shapes.aspect_ratios), positive_iou=positive_iou
        )
        found.append((worth, scale, ratios))
    _, scale, ratios = max(found, key=lambda item: item[0])
    return replace(shapes, scale=scale, aspect_ratios=ratios)


def fit_anchors_by_level(shapes: AnchorShapes, sizes: Vector, *, positive_iou: float) -> AnchorShapes:
    """A scale for each level, and as many aspect ratios as there are, that fit boxes better than one scale.

    It begins with what `fit_anchors` finds. Each level's scale is exchanged for the best of `SCALES` with
    which no level has smaller anchors than the one before, and then all ratios, for as long as that gains
    anything.

    Args:
        shapes: As for `fit_anchors`, and the others too.
        sizes: ``(B, 2)`` widths and heights in canvas pixels; at least one.
        positive_iou: What makes an anchor positive.
    """
    one = fit_anchors(shapes, sizes, positive_iou=positive_iou)
    unique, shares = _count_sizes(sizes)
    by_scale = np.stack([_overlaps(unique, replace(one, scale=scale)) for scale in SCALES])
    sides = np.outer(one.strides, SCALES)
    chosen = [SCALES.index(scale) for scale in one.level_scales]
    ratios, total, last_total = one.aspect_ratios, 0.0, -1.0
    while total > last_total + _LEAST_GAIN:
        last_total = total
        rows = [RATIOS.index(ratio) for ratio in ratios]
        for level in range(len(chosen)):
            smallest = sides[level - 1, chosen[level - 1]] if level else 0
            largest = sides[level + 1, chosen[level + 1]] if level + 1 < len(chosen) else np.inf
            others = [by_scale[chosen[other], other] for other in range(len(chosen)) if other != level]
            best = np.maximum(by_scale[:, level, rows], np.max(others, axis=0)[rows]).max(axis=1)
            values = _worth(best, shares, positive_iou)
            values[(sides[level] < smallest) | (sides[level] > largest)] = -1
            if values.max() > total + _LEAST_GAIN:
                total, chosen[level] = float(values.max()), int(values.argmax())
        overlaps = np.max([by_scale[index, level] for level, index in enumerate(chosen)], axis=0)
        worth, others_ratios = _choose_ratios(overlaps, shares, number=len(ratios), positive_iou=positive_iou)
        if worth > total + _LEAST_GAIN:
            total, ratios = worth, others_ratios
    return replace(one, scale=tuple(SCALES[index] for index in chosen), aspect_ratios=ratios)


def _count_sizes(sizes: Vector) -> tuple[Vector, Vector]:
    """``(B, 2)`` sizes in whole pixels, each once, and ``(B,)`` their shares."""
    unique, counts = np.unique(np.maximum(sizes.round(), 1), axis=0, return_counts=True)
    return unique, counts / counts.sum()


def _overlaps(sizes: Vector, shapes: AnchorShapes) -> Vector:
    """``(L, len(RATIOS), B)`` highest overlap of each box with an anchor of each level and ratio."""
    widths, heights = sizes[:, 0], sizes[:, 1]
    roots = np.sqrt(np.array(RATIOS))[:, None]
    best = np.zeros((len(shapes.strides), len(RATIOS), len(sizes)))
    for level, (stride, sides) in enumerate(zip(shapes.strides, shapes.sides(), strict=True)):
        offset = _TYPICAL_OFFSET * stride
        for side in sides:
            anchor_widths, anchor_heights = side / roots, side * roots
            common = _common(widths, anchor_widths, offset) * _common(heights, anchor_heights, offset)
            best[level] = np.maximum(best[level], common / (widths * heights + side**2 - common))
    return best


def _common(length: Vector, other: Vector, offset: float) -> Vector:
    """What two intervals share whose middles lie apart."""
    return np.minimum(np.minimum(length, other), (length + other) / 2 - offset).clip(min=0)


def _worth(best: Vector, shares: Vector, positive_iou: float) -> Vector:
    """``(...)`` in [0, 2]: what highest overlaps ``(..., B)`` are worth, as `fit_anchors` says."""
    return ((best >= positive_iou) + best) @ shares


def _choose_ratios(
    overlaps: Vector, shares: Vector, *, number: int, positive_iou: float
) -> tuple[float, tuple[float, ...]]:
    """What the best aspect ratios are worth, in [0, 2], and which they are, in ascending order."""

    def gains(kept: list[int]) -> Vector:
        """What all have together if each ratio is added to some; -1 for these."""
        values = _worth(np.maximum(overlaps, overlaps[kept].max(axis=0, initial=0)), shares, positive_iou)
        values[kept] = -1
        return values

    chosen: list[int] = []
    while len(chosen) < number:
        values = gains(chosen)
        chosen.append(int(values.argmax()))
    total = float(values.max())
    place, num_idle = 0, 0
    while num_idle < number:
        others = chosen[:place] + chosen[place + 1 :]
        values = gains(others)
        if values.max() > total + _LEAST_GAIN:
            total, num_idle = float(values.max()), 0
            chosen[place] = int(values.argmax())
        num_idle += 1
        place = (place + 1) % number
    return total, tuple(sorted(RATIOS[index] for index in chosen))
