"""Optimisers that do not import torch's compiler compute what torch's do."""

from typing import Any

import pytest
import torch

from hrdet_cli.engine.training.eager_optimisers import without_compiler

SETTINGS: list[tuple[type[torch.optim.Optimizer], dict[str, Any]]] = [
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "fused": True}),
    (torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.01}),
]


def trained(kind: Any, settings: dict[str, Any], *, reloads: bool) -> torch.Tensor:
    weight = torch.nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4))
    optimiser = kind([weight], **settings)
    for _ in range(3):
        optimiser.zero_grad()
        (weight.grad,) = torch.autograd.grad(weight.square().sum() + weight.sin().sum(), [weight])
        optimiser.step()
        if reloads:
            state = optimiser.state_dict()
            optimiser = kind([{"params": [weight], "lr": 5.0}], **settings)
            optimiser.load_state_dict(state)
    return weight.detach()


@pytest.mark.parametrize(("kind", "settings"), SETTINGS)
@pytest.mark.parametrize("reloads", [False, True])
def test_steps_are_torchs_to_the_bit(
    kind: type[torch.optim.Optimizer], settings: dict[str, Any], reloads: bool
) -> None:
    ours = trained(without_compiler(kind), settings, reloads=reloads)
    assert torch.equal(ours, trained(kind, settings, reloads=reloads))


def test_a_step_counts_and_calls_its_hooks_as_torchs_does() -> None:
    weight = torch.nn.Parameter(torch.ones(1))
    optimiser = without_compiler(torch.optim.SGD)([weight], lr=0.5)
    called = []
    optimiser.register_step_post_hook(lambda *_: called.append(weight.item()))
    weight.grad = torch.ones(1)
    optimiser.step()
    assert called == [0.5]
    assert isinstance(optimiser, torch.optim.SGD)
