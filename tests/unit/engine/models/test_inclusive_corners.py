"""Boxes of 2019 end with their last pixel, sides are x2 - x1 + 1: the same arithmetic as ours, one pixel on.

Each formula of 2019 is written down here in float64 and compared with ours on boxes whose far corners are one
larger. So of its conventions only clipping, resizing and the rounding of anchors need settings.
"""

import math

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder, pairwise_iou
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.nms import keep_after_nms
from hrdet_cli.engine.models.regions.pooling import pyramid_levels

ONE_PIXEL_ON = torch.tensor([0.0, 0.0, 1.0, 1.0], dtype=torch.float64)


def boxes_of_2019(count: int, *, seed: int) -> Tensor:
    """``(count, 4)`` float64 in 2019's coordinates, which need not be whole; some of a single pixel."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 100
    sides = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 120
    sides[::10] = 0
    return torch.cat((corners, corners + sides), dim=-1)


def iou_of_2019(one: list[float], other: list[float]) -> float:
    width = max(0.0, min(one[2], other[2]) - max(one[0], other[0]) + 1)
    height = max(0.0, min(one[3], other[3]) - max(one[1], other[1]) + 1)
    areas = [(x2 - x1 + 1) * (y2 - y1 + 1) for x1, y1, x2, y2 in (one, other)]
    return width * height / (sum(areas) - width * height)


def middle_and_side(low: float, high: float) -> tuple[float, float]:
    return (low + high) * 0.5, high - low + 1.0


def deltas_of_2019(box: list[float], reference: list[float]) -> list[float]:
    shifts, scales = [], []
    for axis in (0, 1):
        middle, side = middle_and_side(box[axis], box[axis + 2])
        reference_middle, reference_side = middle_and_side(reference[axis], reference[axis + 2])
        shifts.append((middle - reference_middle) / reference_side)
        scales.append(math.log(side / reference_side))
    return [*shifts, *scales]


def box_of_2019(deltas: list[float], reference: list[float]) -> list[float]:
    starts, ends = [], []
    for axis in (0, 1):
        reference_middle, reference_side = middle_and_side(reference[axis], reference[axis + 2])
        middle = reference_middle + reference_side * deltas[axis]
        side = reference_side * math.exp(deltas[axis + 2])
        starts.append(middle - side * 0.5 + 0.5)
        ends.append(middle + side * 0.5 - 0.5)
    return [*starts, *ends]


def test_overlaps_are_the_same() -> None:
    boxes, others = boxes_of_2019(30, seed=0), boxes_of_2019(40, seed=1)
    wanted = [[iou_of_2019(one, other) for other in others.tolist()] for one in boxes.tolist()]
    found = pairwise_iou(boxes + ONE_PIXEL_ON, others + ONE_PIXEL_ON)
    torch.testing.assert_close(found, torch.tensor(wanted, dtype=torch.float64), rtol=1e-12, atol=1e-12)


def test_nms_keeps_the_same_boxes() -> None:
    boxes = boxes_of_2019(80, seed=2)
    kept: list[int] = []  # the first is the best
    for row, box in enumerate(boxes.tolist()):
        if all(iou_of_2019(boxes[other].tolist(), box) <= 0.4 for other in kept):
            kept.append(row)
    scores = torch.linspace(0.9, 0.1, 80, dtype=boxes.dtype)
    keep = keep_after_nms(boxes + ONE_PIXEL_ON, scores, lengths=[80], max_iou=0.4)
    assert keep.nonzero().squeeze(1).tolist() == kept
    assert len(kept) < 80


def test_boxes_are_encoded_the_same_and_decoded_to_the_same_place() -> None:
    boxes, references = boxes_of_2019(50, seed=3), boxes_of_2019(50, seed=4)
    pairs = list(zip(boxes.tolist(), references.tolist(), strict=True))
    coder = BoxCoder(stds=(1, 1, 1, 1))
    deltas = torch.tensor([deltas_of_2019(*pair) for pair in pairs], dtype=torch.float64)
    encoded = coder.encode(boxes + ONE_PIXEL_ON, references + ONE_PIXEL_ON)
    torch.testing.assert_close(encoded, deltas, rtol=1e-12, atol=1e-12)

    drawn = torch.randn(50, 4, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    pairs = list(zip(drawn.tolist(), references.tolist(), strict=True))
    wanted = torch.tensor([box_of_2019(*pair) for pair in pairs], dtype=torch.float64)
    decoded = coder.decode(drawn, references + ONE_PIXEL_ON)
    torch.testing.assert_close(decoded, wanted + ONE_PIXEL_ON, rtol=1e-12, atol=1e-9)


def test_regions_look_at_the_same_level() -> None:
    regions = boxes_of_2019(300, seed=6) * 4
    wanted = []
    for x1, y1, x2, y2 in regions.tolist():
        scale = math.sqrt((x2 - x1 + 1) * (y2 - y1 + 1))
        wanted.append(min(max(math.floor(math.log2(scale / 56 + 1e-6)), 0), 3))
    found = pyramid_levels(regions + ONE_PIXEL_ON, num_levels=4, finest_side_pixels=56)
    assert found.tolist() == wanted
    assert set(wanted) == {0, 1, 2, 3}


def test_boxes_are_clipped_to_the_same_place() -> None:
    height, width = 70, 90
    boxes = boxes_of_2019(60, seed=7) - 20
    wanted = boxes.clone()
    wanted[:, 0::2] = wanted[:, 0::2].clamp(0, width - 1)
    wanted[:, 1::2] = wanted[:, 1::2].clamp(0, height - 1)
    clipping = BoxClipping(corners="inclusive")
    found, is_left = clipping.clip((boxes + ONE_PIXEL_ON)[None], torch.tensor([[height, width]]))
    torch.testing.assert_close(found[0], wanted + ONE_PIXEL_ON, rtol=0, atol=1e-12)
    assert is_left.all()
    exclusive, _ = BoxClipping().clip((boxes + ONE_PIXEL_ON)[None], torch.tensor([[height, width]]))
    assert (exclusive[0] != found[0]).any()
