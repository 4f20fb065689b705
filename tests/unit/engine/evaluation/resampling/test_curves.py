"""Curves of resamples: those of the back end where every picture counts once, and of copied pictures."""

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from hrdet_cli.engine.data.federated import Federated
from hrdet_cli.engine.evaluation.averages import averages_of
from hrdet_cli.engine.evaluation.back_ends import compare
from hrdet_cli.engine.evaluation.comparison import Comparison, Objects
from hrdet_cli.engine.evaluation.resampling.curves import CurveSampler
from hrdet_cli.engine.evaluation.resampling.draws import Draws
from hrdet_cli.engine.evaluation.resampling.matching import match
from tests.drawn_comparisons import comparisons


def assert_numbers_of_back_end(comparison: Comparison, draws: Draws, counted: Comparison) -> None:
    """Every number of ``draws`` from one comparison is the back end's of another one."""
    averages = averages_of(comparison)
    sampled = CurveSampler(match(comparison), averages).curves(draws)
    curves = compare(counted, "hotcoco")
    for average in averages:
        expected = average.values_in(curves)
        if not average.of_recalls:
            expected = expected.mean(axis=1)  # over the recalls; all are -1 where there is nothing to find
        np.testing.assert_allclose(average.values_in(sampled)[:, 0], expected, rtol=0, atol=1e-12)


def once(comparison: Comparison) -> Draws:
    return np.ones((1, len(comparison.picture_sizes)), dtype=np.int32)


@settings(deadline=None, max_examples=25)
@given(comparisons("box"))
def test_boxes_have_the_numbers_of_the_back_end(comparison: Comparison) -> None:
    assert_numbers_of_back_end(comparison, once(comparison), comparison)


@settings(deadline=None, max_examples=8)
@given(comparisons("mask"))
def test_masks_have_the_numbers_of_the_back_end(comparison: Comparison) -> None:
    assert_numbers_of_back_end(comparison, once(comparison), comparison)


@settings(deadline=None, max_examples=15)
@given(comparisons("box"), st.integers(0, 2**32 - 1))
def test_lvis_has_the_numbers_of_the_back_end(comparison: Comparison, seed: int) -> None:
    random = np.random.default_rng(seed)
    num_pictures, num_classes = len(comparison.picture_sizes), comparison.num_classes

    def draw_pairs() -> NDArray[np.int64]:
        return np.argwhere(random.random((num_pictures, num_classes)) < 0.3)

    lvis = replace(
        comparison,
        is_crowd=np.zeros_like(comparison.is_crowd),
        limits=(300,),
        federated=Federated(draw_pairs(), draw_pairs(), tuple(random.choice(["r", "c", "f"], num_classes))),
    )
    assert_numbers_of_back_end(lvis, once(lvis), lvis)


@settings(deadline=None, max_examples=20)
@given(comparisons("box"), st.integers(0, 2**32 - 1))
def test_a_picture_counts_as_often_as_it_is_drawn(comparison: Comparison, seed: int) -> None:
    random = np.random.default_rng(seed)
    num_found = len(comparison.scores)
    comparison = replace(comparison, scores=random.permutation(num_found) / max(num_found, 1))
    draws = random.integers(4, size=(1, len(comparison.picture_sizes)), dtype=np.int32)
    if draws.any():
        assert_numbers_of_back_end(comparison, draws, copied(comparison, draws[0]))


def copied(comparison: Comparison, counts: NDArray[np.int32]) -> Comparison:
    """Each picture so many times, with all that is in it."""
    first = np.cumsum(counts) - counts

    def copy(objects: Objects) -> tuple[NDArray[np.int64], Objects]:
        rows = np.repeat(np.arange(len(objects.areas)), counts[objects.pictures])
        of_picture = counts[objects.pictures[rows]]
        starts = np.searchsorted(rows, rows)
        pictures = first[objects.pictures[rows]] + (np.arange(len(rows)) - starts) % np.maximum(of_picture, 1)
        taken = Objects(pictures, objects.classes[rows], objects.boxes[rows], objects.areas[rows])
        return rows, taken

    true_rows, truth = copy(comparison.truth)
    found_rows, found = copy(comparison.found)
    return replace(
        comparison,
        truth=truth,
        is_crowd=comparison.is_crowd[true_rows],
        found=found,
        scores=comparison.scores[found_rows],
        picture_sizes=np.repeat(comparison.picture_sizes, counts, axis=0),
    )
