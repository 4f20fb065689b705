import pytest

from hrdet_cli.engine.geometry import Size
from hrdet_cli.runs.benchmark_pad.comparison import (
    Origin,
    PaddingComparison,
    PolicyCost,
    Rate,
    TrainingCost,
    advise,
    format_hours,
    rule_of,
)
from hrdet_cli.runs.benchmark_pad.policies import Policy
from hrdet_cli.specs.padding import BatchPaddingSpec

RATE = Rate(2.0, 1.0, 3.0)
SLOW, FAST = Rate(1.0, 0.9, 1.1), Rate(2.0, 1.2, 2.2)


def cost(
    name: str,
    *,
    hours: float | None,
    shapes: int = 1,
    useful: float = 0.5,
    own: bool = False,
    rate: Rate = RATE,
) -> PolicyCost:
    return PolicyCost(
        policy=Policy(name, BatchPaddingSpec(), (f"padding.policy={name}",), own),
        useful_pixel_share=useful,
        canvas_shares=tuple((Size(64, 64 * (number + 1)), 1 / shapes) for number in range(shapes)),
        imbalance=1.0,
        data_rate=RATE,
        training=None if hours is None else TrainingCost(rate, 2**30, hours, is_data_bound=False),
    )


def test_the_fewest_hours_win_and_the_gain_over_the_specs_own_is_told() -> None:
    costs = [cost("own", hours=2.0, own=True, rate=SLOW), cost("fast", hours=1.5, shapes=9, rate=FAST)]
    advice = advise(costs)
    assert advice.cost.policy.name == "fast"
    assert advice.reason == "1.50 h an epoch, 25% less time than own, the spec's own"


def test_a_gain_that_repetitions_contradict_is_told_with_a_doubt() -> None:
    costs = [cost("own", hours=2.0, own=True), cost("fast", hours=1.5)]
    assert advise(costs).reason.endswith(
        "the spec's own; their spreads overlap, so ask for more --repetitions"
    )


def test_what_is_hardly_slower_than_the_best_is_kept() -> None:
    advice = advise([cost("fast", hours=1.0), cost("own", hours=1.029, shapes=9, own=True)])
    assert (advice.cost.policy.name, advice.reason) == ("own", "nothing else gains more than 3%")


def test_of_equals_that_are_not_the_specs_own_the_one_with_fewest_shapes_wins() -> None:
    costs = [cost("own", hours=2.0, own=True), cost("six", hours=1.0, shapes=6), cost("three", hours=1.02)]
    assert advise(costs).cost.policy.name == "three"


def test_without_training_useful_pixels_decide() -> None:
    costs = [cost("own", hours=None, useful=0.6, own=True), cost("tight", hours=None, useful=0.9)]
    advice = advise(costs)
    # 1 / 0.9 pixels for each useful one instead of 1 / 0.6: a third less.
    assert advice.reason == "90.0% useful pixels, 33% fewer pixels than own, the spec's own"
    assert rule_of(costs).startswith("the most useful pixels; within 3% all count as equal")


def test_one_policy_alone_is_compared_to_nothing() -> None:
    advice = advise([cost("own", hours=0.25, own=True)])
    assert advice.reason == "only own was measured; nothing to compare"


def test_one_repetition_leaves_a_doubt_whatever_is_chosen_but_not_about_pixels() -> None:
    slow, fast = Rate.of([1.0]), Rate.of([2.0])
    own = cost("own", hours=1.0, own=True, rate=slow)
    better, worse = cost("better", hours=0.5, rate=fast), cost("worse", hours=2.0, rate=slow)
    doubt = "; one repetition has no spread, so ask for more --repetitions"
    assert advise([own, better]).reason == f"0.500 h an epoch, 50% less time than own, the spec's own{doubt}"
    assert advise([own, worse]).reason == f"nothing else gains more than 3%{doubt}"
    assert advise([cost("own", hours=None, own=True), cost("other", hours=None)]).reason == (
        "nothing else gains more than 3%"
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "1 picture a step in 1 process, on cpu; 1 repetition"),
        (2, "2 pictures a step in 2 processes, on cpu; medians of 2 repetitions"),
    ],
)
def test_conditions_are_told_in_the_right_number(count: int, text: str) -> None:
    comparison = PaddingComparison(
        device="cpu",
        num_repetitions=count,
        num_pictures=count,
        num_processes=count,
        num_imbalanced=8,
        num_workers=0,
        costs=(),
        origin=Origin("vm", "2026-11-30T01:00:00+00:00", "f1", {}),
    )
    assert comparison.conditions == text


@pytest.mark.parametrize(
    ("hours", "text"), [(123.4, "123"), (12.34, "12.3"), (1.0, "1.00"), (0.02194, "0.0219")]
)
def test_hours_have_three_digits_that_count(hours: float, text: str) -> None:
    assert format_hours(hours) == text


def test_a_rate_is_a_median_with_its_ends() -> None:
    assert Rate.of([3.0, 1.0, 2.0, 10.0]) == Rate(2.5, 1.0, 10.0)


def test_a_rate_of_one_repetition_has_no_ends() -> None:
    assert Rate.of([3.0, 1.0]).ends == (1.0, 3.0)
    assert Rate.of([3.0]).ends is None
