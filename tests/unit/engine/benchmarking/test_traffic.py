from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from hrdet_cli.engine.benchmarking.traffic import Traffic, TrafficCounter, waiting_seconds
from tests.sent_backward import SentBackward


@pytest.fixture
def group_of_one() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield
    finally:
        dist.destroy_process_group()


def gather_into_one(output: Tensor, given: Tensor) -> None:
    """What torch's SyncBN calls on GPUs; torch 2.14 gave it a new name."""
    gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
    gather(output, given)


def test_bytes_are_what_a_process_gives_and_not_the_room_for_answers(group_of_one: None) -> None:
    with TrafficCounter() as counter:
        dist.all_reduce(torch.zeros(10))
        assert counter.traffic() == Traffic(1, 40)
        dist.all_gather([torch.zeros(3)], torch.zeros(3))
        assert counter.traffic() == Traffic(2, 52)
        gather_into_one(torch.zeros(3), torch.zeros(3))
        assert counter.traffic() == Traffic(3, 64)
        dist.broadcast(torch.zeros(2, dtype=torch.float64), src=0)
        assert counter.traffic() == Traffic(4, 80)
        torch.zeros(5) + 1


def test_only_what_is_sent_inside_counts(group_of_one: None) -> None:
    dist.all_reduce(torch.zeros(10))
    with TrafficCounter() as counter:
        pass
    dist.all_reduce(torch.zeros(10))
    assert counter.traffic() == Traffic(0, 0)


def test_a_backward_pass_is_counted(group_of_one: None) -> None:
    x = torch.zeros(4, requires_grad=True)
    with TrafficCounter() as forward:
        total = SentBackward.apply(x).sum()
    with TrafficCounter() as backward:
        torch.autograd.grad(total, x)
    assert (forward.traffic(), backward.traffic()) == (Traffic(0, 0), Traffic(1, 16))


def test_messages_are_waited_for_one_after_the_other() -> None:
    assert waiting_seconds(610, latency_seconds=46e-6) == pytest.approx(0.02806)
    assert waiting_seconds(198, latency_seconds=150e-6) == pytest.approx(0.0297)
    assert waiting_seconds(0, latency_seconds=150e-6) == 0
