import math

import pytest

from hrdet_cli.engine.training.schedule import CosineDecay, Schedule, StepDecay, Warmup

AT_ONCE = Warmup(num_steps=0, factor=0.1)
# The 1x recipe: rate 0.02, 500 steps of warm-up from a third, drops after 8 and 11 of 12 epochs.
ONE_X = Schedule(
    learning_rate=0.02,
    warmup=Warmup(num_steps=500, factor=1 / 3),
    decay=StepDecay(drop_epochs=(8, 11), drop_factor=0.1),
)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.02 / 3),
        (1, 0.0066933333333333),  # 0.02 * (1/3 + 2/3 * 1/500) = 0.02 * 502/1500
        (250, 0.0133333333333333),  # half-way between 1/3 and 1: 0.02 * 2/3
        (499, 0.0199733333333333),  # 0.02 * (1/3 + 2/3 * 499/500) = 0.02 * 1498/1500
        (500, 0.02),
        (7_999, 0.02),  # the last step of the eighth epoch
        (8_000, 0.002),
        (10_999, 0.002),
        (11_000, 0.0002),
        (11_999, 0.0002),
    ],
)
def test_the_1x_schedule_has_the_rates_derived_by_hand(step: int, expected: float) -> None:
    rate = ONE_X.learning_rate_at(step=step, num_epochs_done=step / 1000)
    assert rate == pytest.approx(expected, rel=1e-12)


def test_a_drop_inside_the_warm_up_multiplies_it() -> None:
    # Drop after the first epoch, of 10 steps: at step 10 of 20 the warm-up is at 0.5 + 0.5 * 10/20 = 0.75.
    schedule = Schedule(
        learning_rate=1.0,
        warmup=Warmup(num_steps=20, factor=0.5),
        decay=StepDecay(drop_epochs=(1,), drop_factor=0.1),
    )
    assert schedule.learning_rate_at(step=10, num_epochs_done=1) == pytest.approx(0.075)


def test_without_warm_up_the_first_step_has_the_full_rate() -> None:
    schedule = Schedule(learning_rate=0.3, warmup=AT_ONCE, decay=None)
    assert schedule.learning_rate_at(step=0, num_epochs_done=0) == 0.3


def test_drops_count_epochs_whatever_their_number_of_steps_was() -> None:
    # A run that went on with twice the processes reaches the eighth drop after fewer steps.
    assert ONE_X.learning_rate_at(step=4_700, num_epochs_done=7 + 499 / 500) == 0.02
    assert ONE_X.learning_rate_at(step=4_700, num_epochs_done=8) == pytest.approx(0.002)


@pytest.mark.parametrize(("step", "expected"), [(0, 0.01 / 3), (250, 0.01 / 3), (499, 0.01 / 3), (500, 0.01)])
def test_a_constant_warm_up_keeps_its_share_until_the_full_rate(step: int, expected: float) -> None:
    # FCOS's: a third of the rate of 0.01 for 500 steps.
    schedule = Schedule(
        learning_rate=0.01,
        warmup=Warmup(num_steps=500, factor=1 / 3, shape="constant"),
        decay=StepDecay(drop_epochs=(8, 11), drop_factor=0.1),
    )
    assert schedule.learning_rate_at(step=step, num_epochs_done=0) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (0, 0.5 * 0.2),  # the warm-up's half of the full rate
        (1, 0.75 * 0.2 * (0.1 + 0.9 * (1 + math.cos(math.pi / 12)) / 2)),  # a twelfth of the run is done
        (2, 0.2 * (0.1 + 0.9 * (1 + math.sqrt(3) / 2) / 2)),  # cos(pi / 6)
        (6, 0.2 * 0.55),  # half of the run: half-way between 1 and 0.1
        (8, 0.2 * (0.1 + 0.9 / 4)),  # cos(2 pi / 3) = -1/2
        (12, 0.2 * 0.1),
    ],
)
def test_the_cosine_has_the_rates_derived_by_hand(step: int, expected: float) -> None:
    # Three epochs of four steps, a warm-up of two from a half, a tenth is left at the end.
    schedule = Schedule(
        learning_rate=0.2,
        warmup=Warmup(num_steps=2, factor=0.5),
        decay=CosineDecay(num_epochs=3, final_factor=0.1),
    )
    rate = schedule.learning_rate_at(step=step, num_epochs_done=step / 4)
    assert rate == pytest.approx(expected, rel=1e-12)
