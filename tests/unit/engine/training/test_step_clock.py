"""What a step is made of: passes without the time that others were waited for in them."""

from itertools import count

import pytest
import torch

from hrdet_cli.engine.distributed import exchange_clock
from hrdet_cli.engine.distributed.exchange_clock import EXCHANGES
from hrdet_cli.engine.training import step_clock
from hrdet_cli.engine.training.step_clock import StepClock, StepTimes


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> StepClock:
    """A clock for which a second goes by whenever it is looked at."""
    seconds = count()
    for module in (step_clock, exchange_clock):
        monkeypatch.setattr(module.time, "perf_counter", lambda: float(next(seconds)))
    return StepClock(torch.device("cpu"))


def exchange() -> None:
    EXCHANGES.end(EXCHANGES.begin())


def test_waiting_for_others_is_no_part_of_a_pass(clock: StepClock) -> None:
    clock.start()
    clock.enter("forward")  # 0
    exchange()  # 1 to 2
    exchange()  # 3 to 4
    clock.enter("backward")  # 5
    exchange()  # 6 to 7
    clock.stop()  # 8
    clock.enter("exchange")  # 9
    exchange()  # 10 to 11
    clock.stop()  # 12
    assert clock.read(data_seconds=0.5) == StepTimes(data=0.5, forward=3.0, backward=2.0, exchange=4.0)


def test_an_exchange_after_the_passes_is_not_timed(clock: StepClock) -> None:
    """Such as that of broken pictures: a GPU may not be done with it when times are read."""
    clock.start()
    clock.enter("exchange")  # 0
    exchange()  # 1 to 2
    clock.stop()  # 3
    exchange()
    assert clock.read(data_seconds=0.0) == StepTimes(data=0.0, forward=0.0, backward=0.0, exchange=1.0)


def test_passes_of_several_batches_add_up(clock: StepClock) -> None:
    clock.start()
    for _ in range(2):
        clock.enter("forward")
        clock.enter("backward")
    clock.stop()
    assert clock.read(data_seconds=0.0) == StepTimes(data=0.0, forward=2.0, backward=2.0, exchange=0.0)


def test_a_clock_that_was_not_started_keeps_nothing(clock: StepClock) -> None:
    clock.enter("forward")
    exchange()
    clock.stop()
    assert clock.read(data_seconds=0.0) == StepTimes(0.0, 0.0, 0.0, 0.0)
