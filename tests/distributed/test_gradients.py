"""Gradients of three processes, averaged while the backward pass goes on, against those of one process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.distributed.activity import ACTIVITY
from hrdet_cli.engine.distributed.side_group import SideGroup, SumUnderWay
from hrdet_cli.engine.norm.recompute import Recomputation, run_segment
from hrdet_cli.engine.training.gradients import GradientAverager
from tests.distributed.process_group import gloo_group, run_processes

pytestmark = pytest.mark.distributed

NUM_PROCESSES = 3
BUCKET_BYTES = 200
"""Makes three buckets: see `test_buckets_leave_before_the_backward_pass_ends`."""


class Branches(nn.Module):
    """A stem and branches that meet in a head; which branches a picture uses is the caller's business."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.branches = nn.ModuleList(nn.Conv2d(4, 4, 1, bias=False) for _ in range(4))
        self.head = nn.Linear(4, 3)
        self.double()
        self.stem.weight.data = self.stem.weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, picture: Tensor, order: Sequence[int], *, recompute: Recomputation = "off") -> Tensor:
        features = run_segment(self.stem, picture, recompute=recompute)
        parts = [self.branches[index](features).tanh() for index in order]
        found: Tensor = self.head(torch.stack(parts).sum(0).mean((2, 3)))
        return found.square().sum()


ORDERS: dict[str, list[Sequence[int]]] = {
    "same": [(0, 1, 2, 3)] * NUM_PROCESSES,
    "other on each process": [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)],
    "some not used": [(0, 1), (1,), (1, 2)],  # the last one by nobody
}


def build() -> Branches:
    torch.manual_seed(0)
    return Branches()


def picture(rank: int) -> Tensor:
    generator = torch.Generator().manual_seed(rank)
    return torch.randn((1, 3, 5, 6), generator=generator, dtype=torch.float64)


def gradients_of(model: nn.Module) -> dict[str, Tensor | None]:
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def one_process(name: str) -> dict[str, Tensor | None]:
    """The gradients of the mean over all pictures."""
    model = build()
    losses = [model(picture(rank), order) for rank, order in enumerate(ORDERS[name])]
    torch.autograd.backward(torch.stack(losses).mean())
    return gradients_of(model)


@contextmanager
def noted_sums(events: list[str]) -> Iterator[None]:
    """Inside, sums that begin and sums that are waited for are among the events."""
    start, wait = SideGroup.start_sum, SumUnderWay.wait

    def noted_start(group: SideGroup, tensor: Tensor, *, what: str) -> SumUnderWay:
        events.append("sent")
        return start(group, tensor, what=what)

    def noted_wait(total: SumUnderWay) -> None:
        number = ACTIVITY.num_collectives
        wait(total)
        events.append(f"received, counted {ACTIVITY.num_collectives - number}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SideGroup, "start_sum", noted_start)
        patch.setattr(SumUnderWay, "wait", noted_wait)
        yield


def events_of_a_step() -> list[str]:
    model, events = build(), list[str]()
    averager = GradientAverager([*model.parameters()], bucket_bytes=BUCKET_BYTES)
    with noted_sums(events), averager.averaged():
        loss = model(picture(0), range(4))
        model.stem.weight.register_hook(  # type: ignore[no-untyped-call]
            lambda _: events.append("gradient of the stem")
        )
        torch.autograd.backward(loss)
    return events


def second_step(rank: int, name: str, *, recompute: Recomputation = "off") -> dict[str, Tensor | None]:
    """The means of a step after one in which every branch was used."""
    model = build()
    averager = GradientAverager([*model.parameters()], bucket_bytes=BUCKET_BYTES)
    for order in (range(4), ORDERS[name][rank]):
        model.zero_grad()
        with averager.averaged():
            torch.autograd.backward(model(picture(rank), order, recompute=recompute))
    for parameter in model.parameters():
        assert parameter.grad is None or parameter.grad.stride() == parameter.stride()
    return gradients_of(model)


def outside(rank: int) -> bool:
    """Whether a backward pass that is not the averager's keeps its own gradients."""
    model, alone = build(), build()
    GradientAverager([*model.parameters()])
    for network in (model, alone):
        torch.autograd.backward(network(picture(rank), range(4)))
    pairs = zip(model.parameters(), alone.parameters(), strict=True)
    return all(torch.equal(gradient(one), gradient(other)) for one, other in pairs)


def gradient(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def work(rank: int, folder: str) -> None:
    with gloo_group(Path(folder, "store"), rank=rank, size=NUM_PROCESSES):
        results: dict[str, Any] = {name: second_step(rank, name) for name in ORDERS}
        results["again"] = second_step(rank, "same")
        # One is enough: the means are of all, and torch imports its compiler before it recomputes.
        results["recomputed"] = second_step(rank, "same", recompute="modules" if rank == 0 else "off")
        results["events"] = events_of_a_step()
        results["outside"] = outside(rank)
        torch.save(results, Path(folder, f"{rank}.pt"))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("gradients")
    run_processes(work, str(folder), size=NUM_PROCESSES)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(NUM_PROCESSES)]


@pytest.mark.parametrize("name", ORDERS)
def test_the_means_are_the_gradients_of_one_process(outcomes: list[dict[str, Any]], name: str) -> None:
    expected = one_process(name)
    assert (expected["branches.3.weight"] is None) == (name == "some not used")
    for results in outcomes:
        torch.testing.assert_close(results[name], expected, rtol=1e-12, atol=1e-12)


def test_all_processes_have_the_same_bits_in_every_run(outcomes: list[dict[str, Any]]) -> None:
    first = outcomes[0]["same"]
    for results in outcomes:
        for name in ("same", "again", "recomputed"):
            assert all(torch.equal(value, first[key]) for key, value in results[name].items())


def test_buckets_leave_before_the_backward_pass_ends(outcomes: list[dict[str, Any]]) -> None:
    """Backwards, in bytes: bias and weight of the head 24 + 96, branches 128 each, the stem 32 + 864.

    So the head and one branch are a bucket, two branches, and the last branch with the stem.
    """
    for results in outcomes:
        assert results["events"] == [
            *["sent"] * 2,
            "gradient of the stem",
            "sent",
            *["received, counted 1"] * 3,
        ]


def test_a_backward_pass_of_somebody_else_sends_nothing(outcomes: list[dict[str, Any]]) -> None:
    assert all(results["outside"] for results in outcomes)
