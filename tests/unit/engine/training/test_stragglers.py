"""A process for which all others wait is named, with what takes it longer and since when."""

from collections.abc import Iterator

import pytest
import torch

from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.engine.training.step_clock import StepClock, StepTimes
from hrdet_cli.engine.training.stragglers import Comparison, Straggler, StragglerWatch

USUAL = StepTimes(data=0.0, forward=0.3, backward=0.6, exchange=0.1)
SLOW = {
    "data": StepTimes(data=0.2, forward=0.3, backward=0.6, exchange=0.1),
    "forward": StepTimes(data=0.0, forward=0.5, backward=0.6, exchange=0.1),
    "backward": StepTimes(data=0.0, forward=0.3, backward=0.9, exchange=0.1),
    "exchange": StepTimes(data=0.0, forward=0.3, backward=0.6, exchange=0.3),
}


def told(comparison: Comparison, times: Iterator[StepTimes], *, size: int = 3) -> list[Straggler]:
    """What is told of steps 10, 20, ... in which the last process takes so long."""
    found: list[Straggler] = []
    for number, of_last in enumerate(times, start=1):
        found += comparison.add(10 * number, [*([USUAL] * (size - 1)), of_last])
    return found


@pytest.mark.parametrize("part", ["data", "forward", "backward", "exchange"])
def test_a_straggler_is_told_once_with_its_slowest_part(part: str) -> None:
    (straggler,) = told(Comparison(3), iter([USUAL] * 3 + [SLOW[part]] * 20))
    assert straggler == Straggler(
        rank=2,
        is_over=False,
        part=part,
        seconds=getattr(SLOW[part], part),
        others_seconds=getattr(USUAL, part),
        since_step=40,
    )


def test_its_end_is_told_and_a_second_time_too() -> None:
    slow, usual = [SLOW["forward"]] * 8, [USUAL] * 10
    found = told(Comparison(2), iter(slow + usual + slow), size=2)
    assert [(straggler.is_over, straggler.since_step) for straggler in found] == [
        (False, 10),
        (True, 90),
        (False, 190),
    ]


def test_one_slow_step_in_a_while_makes_none() -> None:
    assert not told(Comparison(3), iter([SLOW["data"], USUAL, USUAL, USUAL] * 8))


def test_those_that_wait_for_a_straggler_are_none() -> None:
    """The others wait in exchanges for as long as it computes more."""
    waiting = StepTimes(data=0.0, forward=0.3, backward=0.6, exchange=0.3)
    comparison = Comparison(3)
    found = [
        straggler
        for step in range(20)
        for straggler in comparison.add(step, [waiting, SLOW["forward"], waiting])
    ]
    assert [straggler.rank for straggler in found] == [1]


def test_a_line_has_rank_node_part_and_how_much() -> None:
    straggler = Straggler(1, False, "backward", 0.9, 0.6, 120)
    assert straggler.describe(("gpu-a", "gpu-b")) == (
        "rank 1 (gpu-b) is slower than the others since step 120, and all wait for it: the backward pass "
        "takes 0.90 s a step there and 0.60 s elsewhere"
    )
    over = Straggler(1, True, "data", 0.0, 0.0, 300)
    assert (
        over.describe(("gpu-a", "gpu-b")) == "rank 1 (gpu-b) is as fast as the others again, since step 300"
    )


def test_times_of_all_processes_come_out_of_the_mean_of_their_messages() -> None:
    size = 3
    watches = [StragglerWatch(World(rank, size), StepClock(torch.device("cpu"))) for rank in range(size)]
    for step in range(1, 5):
        for watch in watches:
            watch.begin_step(step)
            watch.end_step(data_seconds=0.0)
            assert not watch.message(torch.zeros(1))
    for rank, watch in enumerate(watches):
        watch.begin_step(5)
        watch.end_step(data_seconds=float(rank))
    messages = [watch.message(torch.zeros(1))[0] for watch in watches]
    means = torch.stack(messages).mean(dim=0)
    torch.testing.assert_close(means * size, torch.tensor([0.0] * 4 + [1.0] + [0.0] * 3 + [2.0] + [0.0] * 3))
    assert not watches[0].message(torch.zeros(1)), "told once"


def test_one_process_has_nobody_to_be_compared_with() -> None:
    watch = StragglerWatch(World(), StepClock(torch.device("cpu")))
    watch.begin_step(5)
    watch.end_step(data_seconds=1.0)
    assert not watch.message(torch.zeros(1))
    assert not watch.take(())
