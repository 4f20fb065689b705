"""Differences and what chance makes of them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.averages import Average
from hrdet_cli.engine.evaluation.comparison import Comparison
from hrdet_cli.engine.evaluation.resampling.curves import CurveSampler
from hrdet_cli.engine.evaluation.resampling.differences import (
    Difference,
    SampledSide,
    Verdict,
    compare_sides,
)
from hrdet_cli.engine.evaluation.resampling.draws import draw_pictures
from hrdet_cli.engine.evaluation.resampling.matching import match
from tests.comparisons import comparison_of


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [
        (Difference(0.1, 0.05, 0.15, 30), "better"),
        (Difference(-0.1, -0.15, -0.05, 30), "worse"),
        (Difference(0.1, -0.05, 0.25, 30), "not distinguishable"),
        (Difference(0.1, 0.0, 0.2, 30), "not distinguishable"),
        (Difference(0.0, 0.0, 0.0, 30), "the same"),
        (Difference(0.3, 0.3, 0.3, 1), "too few pictures"),
        (Difference(0.3, 0.1, 0.4, 9), "too few pictures"),
        (Difference(0.3, 0.1, 0.4, 10), "better"),
    ],
)
def test_verdicts_are_words(difference: Difference, verdict: Verdict) -> None:
    assert difference.verdict == verdict


MANY = np.array([30])
RECALL = Average(name="AR100", of_recalls=True, limit=0)


def sampled_recalls(comparison: Comparison, num_resamples: int) -> SampledSide:
    sampler = CurveSampler(match(comparison), [RECALL])
    is_drawn = np.ones(len(comparison.picture_sizes), dtype=np.bool_)
    draws = [np.ones((1, len(is_drawn)), dtype=np.int32)]
    draws += draw_pictures(is_drawn, num_resamples=num_resamples, seed=0)
    recalls = [RECALL.values_in(sampler.curves(part))[0] for part in draws]  # at one overlap, of one class
    return SampledSide(recalls[0], np.concatenate(recalls[1:])[None])


def two_detectors(random: np.random.Generator, shares: tuple[float, float]) -> list[Comparison]:
    """Of 60 pictures with an object each, of which the detectors find these shares, mostly the same ones."""
    ease = random.random(60)
    box = (0.0, 0.0, 10.0, 10.0)
    return [
        comparison_of(
            [(picture, 0, box) for picture in range(60)],
            [(picture, 0, box, 0.5) for picture in np.flatnonzero(ease < share).tolist()],
            num_pictures=60,
            num_classes=1,
        )
        for share in shares
    ]


def test_intervals_hold_the_true_difference_in_about_95_of_100_cases() -> None:
    random, num_held, num_distinguished = np.random.default_rng(0), 0, 0
    for _ in range(80):
        first, second = (sampled_recalls(one, 100) for one in two_detectors(random, (0.5, 0.7)))
        difference = compare_sides(first, second, num_pictures=np.array([60]), seed=0)[0]
        assert difference is not None
        num_held += difference.low <= 0.2 <= difference.high
        num_distinguished += difference.verdict == "better"
    assert 70 <= num_held < 80
    assert num_distinguished > 60


def side(*runs: float, spread: float = 0.01) -> SampledSide:
    samples = np.random.default_rng(0).normal(0, spread, 1000)
    values = np.array(runs)[:, None]
    return SampledSide(values, values[:, None] + samples[:, None])


def width(first: SampledSide, second: SampledSide) -> float:
    (difference,) = compare_sides(first, second, num_pictures=MANY, seed=0)
    assert difference is not None
    return difference.high - difference.low


def test_what_all_pictures_share_is_no_difference() -> None:
    (difference,) = compare_sides(side(0.4), side(0.5), num_pictures=MANY, seed=0)
    assert difference is not None
    assert [difference.value, difference.low, difference.high] == pytest.approx([0.1] * 3)


def test_several_runs_of_a_side_are_compared_with_their_spread() -> None:
    alike, spread = side(0.4, 0.4, 0.4), side(0.48, 0.5, 0.52)
    assert width(alike, side(0.5)) == pytest.approx(0), "one run tells nothing of others"
    assert width(alike, spread) == pytest.approx(2 * 4.303 * 0.02 / np.sqrt(3), rel=0.1)  # t of 2 at 97.5 %
    assert width(alike, side(0.48, 0.52)) > width(alike, spread) > width(alike, side(*[0.48, 0.5, 0.52] * 3))


def test_there_is_no_difference_where_there_is_nothing_to_average() -> None:
    nothing: NDArray[np.float64] = np.full((1, 10, 1), np.nan)
    empty = SampledSide(nothing[:, 0], nothing)
    assert compare_sides(empty, empty, num_pictures=MANY, seed=0) == [None]


def test_resamples_without_objects_do_not_count() -> None:
    samples = np.where(np.arange(1000) % 2, np.nan, 0.1)[None, :, None]
    baseline = SampledSide(np.zeros((1, 1)), samples * 0)
    assert compare_sides(baseline, SampledSide(np.array([[0.1]]), samples), num_pictures=MANY, seed=0) == [
        Difference(0.1, 0.1, 0.1, 30)
    ]
