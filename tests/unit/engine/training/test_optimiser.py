import pytest
import torch
from torch import nn

from hrdet_cli.engine.training.optimiser import build_sgd


def test_frozen_parameters_do_not_move_under_weight_decay() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].requires_grad_(False)
    before = [p.clone() for p in model.parameters()]
    optimiser = build_sgd(model, momentum=0.0, weight_decay=0.5)
    optimiser.param_groups[0]["lr"] = 0.1
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    # gradient 0, decay 0.5, rate 0.1: every trained value shrinks to 1 - 0.1 * 0.5 of itself, the bias too
    expected = [before[0], before[1], before[2] * 0.95, before[3] * 0.95]
    for parameter, value in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.detach(), value)


def test_weight_decay_acts_on_normalisation_and_biases_too() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    optimiser = build_sgd(model, momentum=0.9, weight_decay=1e-4)
    (group,) = optimiser.param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in model.parameters()}
    assert (group["momentum"], group["weight_decay"]) == (0.9, 1e-4)


def test_a_step_without_a_schedule_changes_nothing() -> None:
    model = nn.Linear(1, 1, bias=False)
    optimiser = build_sgd(model, momentum=0.9, weight_decay=0.1)
    before = model.weight.detach().clone()
    model.weight.grad = torch.ones_like(model.weight)
    optimiser.step()
    assert torch.equal(model.weight.detach(), before)


def test_a_model_without_trained_parameters_is_refused() -> None:
    model = nn.Linear(1, 1).requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter of this Linear trains"):
        build_sgd(model, momentum=0.9, weight_decay=0.0)
