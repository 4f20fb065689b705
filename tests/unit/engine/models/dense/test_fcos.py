"""FCOS's head against loops over points, in float64, that follow the paper and mmdetection."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss

from hrdet_cli.engine.models.dense.fcos import FcosHead
from hrdet_cli.engine.structures import ImageBatch, Targets
from tests.dense_heads import (
    NUM_CLASSES,
    SIZES,
    make_batch,
    make_fcos_head,
    make_lively,
    random_pyramid,
)

LEVEL_LENGTHS = [96, 24, 6]
RANGES = ((-math.inf, 14), (14, 24), (24, math.inf))


def level_of(point: int) -> int:
    return 0 if point < 96 else 1 if point < 120 else 2


def targets_of_point(
    place: list[float], level: int, boxes: list[list[float]], radius: float | None
) -> int | None:
    """Row of the box that a point learns."""
    fitting = []
    for row, (x1, y1, x2, y2) in enumerate(boxes):
        sides = (place[0] - x1, place[1] - y1, x2 - place[0], y2 - place[1])
        is_inside = min(sides) > 0 and RANGES[level][0] <= max(sides) <= RANGES[level][1]
        off_centre = max(abs(place[0] - (x1 + x2) / 2), abs(place[1] - (y1 + y2) / 2))
        if is_inside and (radius is None or off_centre < radius * (8, 16, 32)[level]):
            fitting.append(((x2 - x1) * (y2 - y1), row))
    return min(fitting)[1] if fitting else None


def naive_losses(
    head: FcosHead, images: ImageBatch, targets: Targets, *, radius: float | None, box_loss: str
) -> dict[str, Tensor]:
    predictions = head(random_pyramid(torch.float64))
    class_sum, box_sum, centreness_sum = (torch.zeros((), dtype=torch.float64) for _ in range(3))
    num_positive, total_weight = 0, 0.0
    for picture, (height, width) in enumerate(SIZES):
        boxes = targets.boxes[picture][targets.is_valid[picture]].double().tolist()
        for point, place in enumerate(predictions.points.places.tolist()):
            half = (4, 8, 16)[level_of(point)]
            if place[0] - half >= width or place[1] - half >= height:
                continue
            row = targets_of_point(place, level_of(point), boxes, radius)
            wanted = torch.zeros(NUM_CLASSES, dtype=torch.float64)
            if row is not None:
                wanted[targets.labels[picture, row]] = 1
            scores = predictions.logits[picture, point].sigmoid()
            right = torch.where(wanted == 1, scores, 1 - scores)
            alpha = torch.where(wanted == 1, 0.25, 0.75)
            class_sum = class_sum - (alpha * (1 - right) ** 2 * right.log()).sum()
            if row is None:
                continue
            x1, y1, x2, y2 = boxes[row]
            left, top, to_right, below = place[0] - x1, place[1] - y1, x2 - place[0], y2 - place[1]
            centre = math.sqrt(min(left, to_right) / max(left, to_right) * min(top, below) / max(top, below))
            distances = predictions.distances[picture, point]
            found = torch.stack(
                (
                    place[0] - distances[0],
                    place[1] - distances[1],
                    place[0] + distances[2],
                    place[1] + distances[3],
                )
            )
            if box_loss == "giou":
                cost = generalized_box_iou_loss(found, torch.tensor(boxes[row], dtype=torch.float64), eps=0)
            else:
                wide = torch.minimum(found[2], torch.tensor(x2)) - torch.maximum(found[0], torch.tensor(x1))
                high = torch.minimum(found[3], torch.tensor(y2)) - torch.maximum(found[1], torch.tensor(y1))
                shared = wide * high  # both reach beyond the point
                areas = (found[2] - found[0]) * (found[3] - found[1]) + (x2 - x1) * (y2 - y1)
                cost = -(shared / (areas - shared)).log()
            box_sum = box_sum + centre * cost
            total_weight += centre
            num_positive += 1
            centreness_sum = centreness_sum + F.binary_cross_entropy_with_logits(
                predictions.centreness[picture, point], torch.tensor(centre, dtype=torch.float64)
            )
    return {
        "fcos_class": class_sum / max(num_positive, 1),
        "fcos_box": box_sum / max(total_weight, 1e-6),
        "fcos_centreness": centreness_sum / max(num_positive, 1),
    }


@pytest.mark.parametrize("num_boxes", [(3, 2), (0, 4), (0, 0)])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"distances": "strides", "centreness_from": "boxes", "centre_radius": 1.5, "box_loss": "giou"},
    ],
    ids=["as published", "later"],
)
def test_losses_and_gradients_are_those_of_loops(
    num_boxes: tuple[int, int], settings: dict[str, Any]
) -> None:
    head = make_fcos_head(**settings)
    make_lively(head)
    head.double()
    if settings:
        with torch.no_grad():
            head.get_parameter("distances.bias").add_(2)  # or many distances were 0
    images, targets = make_batch(num_boxes)
    losses = head.losses(random_pyramid(torch.float64), images, targets)
    wanted = naive_losses(
        head,
        images,
        targets,
        radius=settings.get("centre_radius"),
        box_loss=settings.get("box_loss", "iou"),
    )
    assert losses.keys() == wanted.keys()
    parameters = dict(head.named_parameters())
    for name, loss in losses.items():
        torch.testing.assert_close(loss, wanted[name], rtol=1e-10, atol=0, msg=name)
        assert (loss > 0) == (name == "fcos_class" or sum(num_boxes) > 0)
    total, wanted_total = (torch.stack([*values.values()]).sum() for values in (losses, wanted))
    gradients = torch.autograd.grad(total, [*parameters.values()])
    if sum(num_boxes) == 0:
        of_boxes = {name for name in parameters if name.startswith(("distances", "centreness", "scales"))}
        zero = dict(zip(parameters, gradients, strict=True))
        assert all((zero[name] == 0).all() for name in of_boxes)
        return
    wanted_gradients = torch.autograd.grad(wanted_total, [*parameters.values()])
    for name, gradient, expected in zip(parameters, gradients, wanted_gradients, strict=True):
        error = (gradient - expected).norm() / expected.norm()
        assert error < 1e-10, name


@pytest.mark.parametrize("rule", ["product", "geometric_mean"])
def test_candidates_are_those_of_a_loop_over_all_pairs(rule: str) -> None:
    head = make_fcos_head(rule=rule, score_threshold=0.3, num_candidates=12)  # type: ignore[arg-type]
    make_lively(head)
    sizes = make_batch()[0].sizes
    with torch.no_grad():
        predictions, candidates = head(random_pyramid()), head.candidates(random_pyramid(), sizes)
    assert candidates.boxes.shape == (2, 12 + 12 + 6, 1, 4)
    places = predictions.points.places
    for picture, (height, width) in enumerate(SIZES):
        wanted: set[tuple[float, int, float, float]] = set()
        for level in range(3):
            pairs = []
            for point in range(len(places)):
                half = (4, 8, 16)[level_of(point)]
                inside = places[point, 0] - half < width and places[point, 1] - half < height
                if level_of(point) != level or not inside:
                    continue
                central = predictions.centreness[picture, point].sigmoid().item()
                for label in range(NUM_CLASSES):
                    score = predictions.logits[picture, point, label].sigmoid().item()
                    ranked = score if rule == "product" else math.sqrt(score * central)
                    x1 = (places[point, 0] - predictions.distances[picture, point, 0]).item()
                    y2 = (places[point, 1] + predictions.distances[picture, point, 3]).item()
                    final = score * central if rule == "product" else ranked
                    pairs.append((ranked, label, x1, y2, final))
            best = sorted(pairs, reverse=True)[:12]
            wanted |= {(final, *pair) for rank, *pair, final in best if rank > 0.3}
        rows, labels = candidates.scores[picture].nonzero(as_tuple=True)
        found = [
            (
                candidates.scores[picture, row, label].item(),
                label,
                candidates.boxes[picture, row, 0, 0].item(),
                candidates.boxes[picture, row, 0, 3].item(),
            )
            for row, label in zip(rows.tolist(), labels.tolist(), strict=True)
        ]
        assert len(found) == len(wanted) > 10
        for one, other in zip(sorted(found), sorted(wanted), strict=True):
            assert one == pytest.approx(other, rel=1e-5)
        if rule == "product":  # the threshold is on the class alone
            assert min(score for score, *_ in found) < 0.3


def test_losses_under_bfloat16_autocast_are_float32_and_near() -> None:
    head = make_fcos_head()
    exact = head.losses(random_pyramid(), *make_batch())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = head.losses(random_pyramid(), *make_batch())
    for name, loss in exact.items():
        assert rough[name].dtype == torch.float32
        torch.testing.assert_close(rough[name], loss, rtol=0.02, atol=0)


def test_names_of_tensors_and_how_they_start() -> None:
    head = make_fcos_head()
    ends = ("weight", "bias")
    towers = {f"{side}_convs.{index}" for side in ("class", "box") for index in range(2)}
    assert {name for name, _ in head.named_parameters()} == {
        *(f"{layer}.{end}" for layer in ("class_logits", "distances", "centreness") for end in ends),
        *(f"{conv}.norm.{end}" for conv in towers for end in ends),
        *(f"{conv}.weight" for conv in towers),
        *(f"scales.{level}" for level in range(3)),
    }
    assert head.class_logits.weight.shape[0] == head.class_rows["class_logits"].num_rows(NUM_CLASSES)
    assert head.class_logits.bias is not None
    torch.testing.assert_close(head.class_logits.bias.sigmoid(), torch.full((NUM_CLASSES,), 0.01))
    assert [scale.item() for scale in head.scales] == [1, 1, 1]
    assert (head.get_parameter("centreness.bias") == 0).all()
    assert 0.008 < head.class_logits.weight.std() < 0.012
