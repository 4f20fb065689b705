"""Every kind of error by hand, and all of them against hotcoco's counts."""

import numpy as np
import pytest

from hrdet_cli.engine.evaluation.analysis.errors import (
    KINDS,
    NO_ERROR,
    ErrorKind,
    Errors,
    cost_errors,
    find_errors,
)
from hrdet_cli.engine.evaluation.analysis.matching import match
from hrdet_cli.engine.evaluation.back_ends import evaluate_with_hotcoco
from hrdet_cli.engine.evaluation.comparison import Comparison
from tests.comparisons import Found, True_, comparison_of, random_comparison

HERE, THERE = (0, 0, 100, 100), (500, 500, 100, 100)
HALF_BESIDE = (50, 0, 100, 100)  # overlaps HERE by 5000 / 15000
ALL_FOUND = [(0, 0, HERE, 0.9)]

HALF = 51 / 101
"""AP where the first of two objects is found: 51 of 101 recalls are at most one half."""


def find(comparison: Comparison) -> tuple[Errors, dict[ErrorKind, tuple[float, int]]]:
    evaluation = evaluate_with_hotcoco(comparison)
    errors = find_errors(comparison, match(evaluation, comparison))
    costs = cost_errors(evaluation)
    return errors, {kind: (round(cost.average_precision, 9), cost.number) for kind, cost in costs.items()}


def numbers_of(errors: Errors) -> dict[ErrorKind, int]:
    missed = int(errors.is_missed.sum())
    return {kind: missed if kind == "missed" else int(errors.is_of(kind).sum()) for kind in KINDS}


@pytest.mark.parametrize(
    ("kind", "true", "found", "cost"),
    [
        # The only object is taken for the other class: mended, all of class 0 is found.
        pytest.param("class", [(0, 0, HERE)], [(0, 1, HERE, 0.9)], 1.0, id="class"),
        # The only detection is beside its object: mended, it finds it.
        pytest.param("location", [(0, 0, HERE)], [(0, 0, HALF_BESIDE, 0.9)], 1.0, id="location"),
        # The class is wrong and the place too: without it precision at every recall is 1 instead of 1 / 2.
        pytest.param(
            "both",
            [(0, 0, HERE), (0, 1, THERE)],
            [(0, 1, HALF_BESIDE, 0.9), (0, 1, THERE, 0.8)],
            0.25,
            id="both",
        ),
        # The second one comes before that of the other picture: without it precision is 1, not 2 / 3 from
        # the recall of one half on, which are 50 of 101 recalls.
        pytest.param(
            "duplicate",
            [(0, 0, HERE), (1, 0, HERE)],
            [(0, 0, HERE, 0.9), (0, 0, HERE, 0.8), (1, 0, HERE, 0.7)],
            50 / 101 / 3,
            id="duplicate",
        ),
        # Nothing is there: precision is 1 without it, not 1 / 2.
        pytest.param(
            "background", [(0, 0, HERE)], [(0, 0, THERE, 0.9), (0, 0, HERE, 0.8)], 0.5, id="background"
        ),
        # Half of the objects are found: without the missed one all are.
        pytest.param("missed", [(0, 0, HERE), (0, 0, THERE)], ALL_FOUND, 1 - HALF, id="missed"),
    ],
)
def test_each_kind_of_error_is_told_and_costs_what_it_costs_by_hand(
    kind: ErrorKind, true: list[True_], found: list[Found], cost: float
) -> None:
    errors, costs = find(comparison_of(true, found))
    assert costs[kind] == (round(cost, 9), 1)
    numbers = numbers_of(errors)
    assert numbers[kind] == 1
    others = {one: number for one, number in numbers.items() if one != kind}
    # In the case of both the object that is taken for another class is missed besides.
    assert sum(others.values()) == (1 if kind == "both" else 0)


def test_an_error_names_the_object_that_it_is_about() -> None:
    true = [(0, 0, HERE), (0, 1, THERE)]
    found = [(0, 0, HALF_BESIDE, 0.9), (0, 0, THERE, 0.8), (0, 1, THERE, 0.7), (0, 1, THERE, 0.6)]
    errors, _ = find(comparison_of(true, found))
    assert errors.kinds.tolist() == [
        KINDS.index("location"),
        KINDS.index("class"),
        NO_ERROR,
        KINDS.index("duplicate"),
    ]
    assert errors.partners.tolist() == [0, 1, -1, 1]
    np.testing.assert_allclose(errors.overlaps, [1 / 3, 1, 0, 1])
    np.testing.assert_allclose(errors.nearest, [1 / 3, 1])


def test_a_detection_in_a_crowd_region_is_no_error() -> None:
    errors, costs = find(comparison_of([(0, 0, HERE)], [(0, 0, (10, 10, 20, 20), 0.9)], crowd=[0]))
    assert errors.kinds.tolist() == [NO_ERROR]
    assert not errors.is_missed.any()
    assert all(number == 0 for _, number in costs.values())


@pytest.mark.parametrize("true", [[], [(0, 0, HERE)]])
def test_where_nothing_is_detected_objects_are_missed(true: list[True_]) -> None:
    errors, costs = find(comparison_of(true, []))
    assert len(errors.kinds) == 0
    assert errors.is_missed.tolist() == [True] * len(true)
    assert costs["missed"][1] == len(true)


@pytest.mark.parametrize("num_crowd", [0, 6])
@pytest.mark.parametrize("seed", range(6))
def test_kinds_are_as_many_as_hotcoco_counts(seed: int, num_crowd: int) -> None:
    errors, costs = find(random_comparison(seed, num_crowd=num_crowd))
    numbers = numbers_of(errors)
    assert numbers == {kind: number for kind, (_, number) in costs.items()}
    assert min(numbers.values()) > 0
