"""Counts over all processes, and over all parts of a batch."""

import pytest
import torch

from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.models.boxes import denominators
from hrdet_cli.engine.models.boxes.denominators import BatchCounts, denominator


def test_the_denominator_is_the_count_and_never_zero() -> None:
    assert denominator(torch.tensor(2.0), what="samples").item() == 2
    assert denominator(torch.tensor(0.0), what="samples").item() == 1
    assert denominator(torch.tensor(0.25), what="weights", least=1e-6).item() == 0.25


def test_the_denominator_has_no_gradient() -> None:
    weights = torch.tensor([0.5, 1.5], requires_grad=True)
    assert not denominator(weights.sum(), what="weights").requires_grad


@pytest.mark.parametrize(("total", "wanted"), [(6.0, 3.0), (2.0, 1.0), (1.0, 0.5), (0.0, 0.5)])
def test_over_two_processes_the_denominator_is_half_of_the_whole_count_which_is_at_least_one(
    monkeypatch: pytest.MonkeyPatch, total: float, wanted: float
) -> None:
    monkeypatch.setattr(denominators, "sum_over_processes", lambda _, **_name: torch.tensor(total))
    monkeypatch.setattr(denominators, "current_world", lambda: World(rank=0, size=2))
    assert denominator(torch.tensor(0.0), what="samples").item() == wanted


def weight(values: list[float]) -> torch.Tensor:
    """A loss of two kinds of things, one of which is rare."""
    common = denominator(torch.tensor(float(len(values))), what="values")
    rare = denominator(torch.tensor(sum(values), dtype=torch.float64), what="weights", least=0.5)
    assert (common.dtype, rare.dtype) == (torch.float32, torch.float64)
    return sum(values) / common.double() + 10 / rare


@pytest.mark.parametrize("values", [[1.0, 0.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.25, 0.0]])
def test_the_losses_of_the_parts_of_a_batch_add_up_to_that_of_the_batch(values: list[float]) -> None:
    parts = values[:1], values[1:]
    counts = BatchCounts()
    for part in parts:
        with counts.of_a_part():
            weight(part)
    counts.add_up()
    common, rare = 0.0, 0.0
    for part in parts:
        with counts.of_a_part():
            common += sum(part) / denominator(torch.tensor(float(len(part))), what="values").item()
            rare = denominator(torch.tensor(sum(part), dtype=torch.float64), what="", least=0.5).item()
    assert common == pytest.approx(sum(values) / 4)
    assert rare == max(0.5, sum(values)), "the floor is that of the whole batch"
    assert denominator(torch.tensor(1.0), what="values").item() == 1, "outside, a batch is whole"


def test_over_two_processes_all_counts_of_a_batch_in_parts_travel_in_one_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[list[float]] = []

    def add_as_much(tensor: torch.Tensor, *, what: str) -> torch.Tensor:
        sent.append(tensor.tolist())
        return 2 * tensor

    monkeypatch.setattr(denominators, "sum_over_processes", add_as_much)
    monkeypatch.setattr(denominators, "current_world", lambda: World(rank=0, size=2))
    counts = BatchCounts()
    for part in ([1.0], [2.0, 3.0]):
        with counts.of_a_part():
            weight(part)
    assert sent == []
    counts.add_up()
    with counts.of_a_part():
        assert denominator(torch.tensor(1.0), what="values").item() == 3
    assert sent == [[3.0, 6.0]]
