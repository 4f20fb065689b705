import math

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou, generalized_box_iou_loss

from hrdet_cli.engine.models.boxes.overlap_loss import OverlapLoss


def random_boxes(seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(50, 2, generator=generator, dtype=torch.float64) * 60
    sides = torch.rand(50, 2, generator=generator, dtype=torch.float64) * 40 + 2
    return torch.cat((corners, corners + sides), dim=1)


def test_iou_loss_is_the_negative_logarithm_of_torchvisions_iou() -> None:
    boxes, wanted = random_boxes(0), random_boxes(1)
    weights = torch.linspace(0.1, 2, 50, dtype=torch.float64)
    iou = box_iou(boxes, wanted).diagonal()
    assert (iou == 0).any()
    assert (iou > 0).any()
    found = OverlapLoss(kind="iou")(boxes, wanted, weights)
    torch.testing.assert_close(found, -iou.clamp(min=1e-6).log() * weights)


def test_giou_loss_and_its_gradient_are_torchvisions() -> None:
    boxes, wanted = random_boxes(0).requires_grad_(), random_boxes(1)
    found = OverlapLoss(kind="giou")(boxes, wanted, torch.ones(50, dtype=torch.float64))
    theirs = generalized_box_iou_loss(boxes, wanted)
    torch.testing.assert_close(found, theirs, rtol=1e-6, atol=1e-8)
    (gradient,), (wanted_gradient,) = (torch.autograd.grad(loss.sum(), boxes) for loss in (found, theirs))
    torch.testing.assert_close(gradient, wanted_gradient, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("kind", ["iou", "giou"])
def test_a_box_of_weight_zero_has_no_effect_whatever_it_is(kind: str) -> None:
    boxes = torch.tensor([[math.inf, math.nan, 5.0, 3.0], [0.0, 0.0, 2.0, 2.0]], requires_grad=True)
    wanted = torch.tensor([[math.nan] * 4, [0.0, 0.0, 2.0, 4.0]])
    losses = OverlapLoss(kind="iou" if kind == "iou" else "giou")(boxes, wanted, torch.tensor([0.0, 1.0]))
    losses.sum().backward()  # type: ignore[no-untyped-call]
    # Half of the wanted box is covered; the hull is that box itself.
    assert losses.tolist() == pytest.approx([0, math.log(2) if kind == "iou" else 0.5])
    assert boxes.grad is not None
    assert (boxes.grad[0] == 0).all()
    assert (boxes.grad[1] != 0).any()


@pytest.mark.parametrize("kind", ["iou", "giou"])
def test_boxes_without_an_area_have_a_finite_loss_and_gradient(kind: str) -> None:
    boxes = torch.zeros(1, 4, requires_grad=True)
    loss = OverlapLoss(kind="iou" if kind == "iou" else "giou")(boxes, torch.zeros(1, 4), torch.ones(1))
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite().all()
    assert boxes.grad is not None
    assert boxes.grad.isfinite().all()
