import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from hrdet_cli.engine.models.boxes.losses import BoxLoss, class_loss, objectness_loss
from hrdet_cli.engine.models.boxes.sampling import Sample


def sample_of(is_positive: list[list[bool]], is_valid: list[list[bool]]) -> Sample:
    index = torch.zeros(len(is_positive), len(is_positive[0]), dtype=torch.int64)
    return Sample(index=index, is_positive=torch.tensor(is_positive), is_valid=torch.tensor(is_valid))


SAMPLE = sample_of([[True, False, False]], [[True, True, False]])


def test_box_losses_are_the_table() -> None:
    deltas, wanted = torch.tensor([[[0.5, -3.0, 0.0, 1.0]]]), torch.zeros(1, 1, 4)
    positive = torch.ones(1, 1, dtype=torch.bool)
    l1 = BoxLoss(kind="l1")(deltas, wanted, positive)
    smooth = BoxLoss(kind="smooth_l1", beta=1.0)(deltas, wanted, positive)
    narrow = BoxLoss(kind="smooth_l1", beta=0.25)(deltas, wanted, positive)
    assert l1.item() == 4.5
    assert smooth.item() == 0.125 + 2.5 + 0.5  # 0.5 * 0.5**2, 3 - 0.5, 1 - 0.5
    assert narrow.item() == 0.375 + 2.875 + 0.875  # each less beta / 2


@pytest.mark.parametrize("loss", [BoxLoss(kind="l1"), BoxLoss(kind="smooth_l1", beta=1.0)])
def test_a_box_that_is_not_positive_has_no_effect_even_if_its_target_is_not_a_number(loss: BoxLoss) -> None:
    deltas = torch.randn(1, 3, 4, requires_grad=True)
    wanted = torch.full((1, 3, 4), math.nan)
    wanted[0, 0] = 9.0
    total = loss(deltas, wanted, SAMPLE.is_positive)
    total.backward()  # type: ignore[no-untyped-call]
    assert total.isfinite()
    assert deltas.grad is not None
    assert (deltas.grad[0, 0] != 0).all()
    assert (deltas.grad[0, 1:] == 0).all()


def test_without_positives_a_box_loss_is_zero_with_a_gradient_of_zero() -> None:
    deltas = torch.randn(1, 3, 4, requires_grad=True)
    total = BoxLoss(kind="l1")(deltas, torch.full((1, 3, 4), math.inf), torch.zeros(1, 3, dtype=torch.bool))
    total.backward()  # type: ignore[no-untyped-call]
    assert total.item() == 0
    assert deltas.grad is not None
    assert (deltas.grad == 0).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BoxLoss(kind="l1", beta=1.0), "an l1 box loss has no beta, but beta is 1.0; leave it out"),
        (lambda: BoxLoss(kind="smooth_l1"), "a smooth_l1 box loss needs a beta above 0, but beta is None"),
        (
            lambda: BoxLoss(kind="smooth_l1", beta=0),
            "a smooth_l1 box loss needs a beta above 0, but beta is 0",
        ),
    ],
)
def test_a_beta_that_does_not_go_with_the_kind_is_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value) == message


def test_objectness_counts_valid_slots_only() -> None:
    loss = objectness_loss(torch.tensor([[0.0, 2.0, 100.0]]), SAMPLE)
    assert loss.item() == pytest.approx(math.log(2) + math.log(1 + math.exp(2)))


def test_class_loss_counts_valid_slots_only() -> None:
    logits = torch.tensor([[[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [9.0, -9.0, 0.0]]])
    loss = class_loss(logits, torch.tensor([[0, 2, 1]]), SAMPLE.is_valid)
    first = math.log(1 + math.e + math.e**2)
    assert loss.item() == pytest.approx(first + math.log(3))
