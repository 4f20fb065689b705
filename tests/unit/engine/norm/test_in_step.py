from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.norm import in_step
from hrdet_cli.engine.norm.in_step import NormSteps, run_in_step


class RecordingNorm(nn.Module):
    def __init__(self, name: str, log: list[str]) -> None:
        super().__init__()
        self.name, self.log = name, log

    def forward(self, x: Tensor) -> Tensor:
        self.log.append(self.name)
        return x + 1


def doubled_between(norms: list[nn.Module], x: Tensor) -> NormSteps:
    for norm in norms:
        x = yield norm, x * 2
    return x


def test_norms_at_the_same_depth_are_reached_together() -> None:
    log: list[str] = []
    long = [RecordingNorm(f"long{index}", log) for index in range(3)]
    short = [RecordingNorm("short0", log)]
    x = torch.zeros(())

    run_in_step([doubled_between([*long], x), doubled_between([*short], x)])

    assert log == ["long0", "short0", "long1", "long2"]


def test_outputs_come_in_the_order_of_the_parts_however_long_they_are() -> None:
    norm = RecordingNorm("norm", [])
    x = torch.tensor(1.0)

    outputs = run_in_step([doubled_between([norm] * depth, x) for depth in (3, 0, 1)])

    assert [output.item() for output in outputs] == [15, 1, 3]  # x -> 2 x + 1, three, zero and one times


def test_no_parts_have_no_outputs() -> None:
    assert run_in_step([]) == []


def test_norms_that_are_due_together_are_handed_over_together(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def record(requests: Sequence[tuple[nn.Module, Tensor]], area: None) -> list[Tensor]:
        assert area is None
        if requests:
            sizes.append(len(requests))
        return [x for _, x in requests]

    monkeypatch.setattr(in_step, "normalise_together", record)
    norm, x = nn.Identity(), torch.zeros(())

    run_in_step([doubled_between([norm] * depth, x) for depth in (3, 0, 1, 2)])

    assert sizes == [3, 2, 1]
