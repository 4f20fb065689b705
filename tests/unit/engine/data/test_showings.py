"""How often an epoch shows each picture: always as many showings, of each picture about as many as asked."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrdet_cli.engine.data.showings import EpochSampler

_PICTURES = st.lists(
    st.tuples(st.booleans(), st.sampled_from([0.0, 0.3, 1.0, 1.7, 2.0, 9.1])), min_size=1, max_size=40
)


def _sampler(pictures: list[tuple[bool, float]], batch_size: int) -> EpochSampler:
    is_portrait, rates = np.array([p for p, _ in pictures]), np.array([rate for _, rate in pictures])
    return EpochSampler(rates, is_portrait=is_portrait, batch_size=batch_size)


@given(pictures=_PICTURES, batch_size=st.integers(1, 9), epoch=st.integers(0, 9))
def test_every_epoch_fills_the_same_batches_with_the_whole_numbers_around_the_expected_ones(
    pictures: list[tuple[bool, float]], batch_size: int, epoch: int
) -> None:
    sampler = _sampler(pictures, batch_size)
    showings = sampler.draw(seed=3, epoch=epoch)
    counts = np.bincount(showings.pictures, minlength=len(pictures))
    assert counts.sum() == sampler.num_steps * batch_size
    assert (np.abs(counts - sampler.expected) < 1 + 1e-9).all()
    is_portrait = np.array([portrait for portrait, _ in pictures])
    for orientation in (False, True):
        own = sum(rate for portrait, rate in pictures if portrait == orientation)
        wanted = -(-round(own, 6) // batch_size) * batch_size
        assert counts[is_portrait == orientation].sum() == wanted
    pairs = set(zip(showings.pictures.tolist(), showings.occurrences.tolist(), strict=True))
    assert pairs == {(picture, n) for picture, count in enumerate(counts.tolist()) for n in range(count)}


def test_over_many_epochs_pictures_come_as_often_as_expected() -> None:
    pictures = [(number % 3 == 0, rate) for number, rate in enumerate([1.0, 1.3, 2.5, 0.2, 4.0, 1.0, 1.9])]
    sampler = _sampler(pictures, 3)
    mean = np.mean(
        [np.bincount(sampler.draw(seed=0, epoch=e).pictures, minlength=7) for e in range(3000)], axis=0
    )
    # portrait: 1.0 + 0.2 + 1.9 = 3.1 become 6 showings; the others 9.7 - 3.1 + ... = 8.8 become 9
    assert sampler.expected == pytest.approx(
        [6 / 3.1, 1.3 * 9 / 8.8, 2.5 * 9 / 8.8, 1.2 / 3.1, 36 / 8.8, 9 / 8.8, 11.4 / 3.1]
    )
    assert mean == pytest.approx(sampler.expected, abs=0.03)  # their standard deviations are at most 0.01


def test_rates_whose_sum_is_a_whole_number_but_for_rounding_need_no_batch_more() -> None:
    assert _sampler([(False, 0.1)] * 30, 3).num_steps == 1
    assert _sampler([(False, 1.1)] * 30, 3).num_fillers == 0


def test_without_rates_each_picture_is_shown_once_for_the_first_time() -> None:
    sampler = EpochSampler(None, is_portrait=np.array([True, False, False]), batch_size=2)
    showings = sampler.draw(seed=1, epoch=5)
    assert (showings.pictures.tolist(), showings.occurrences.tolist()) == ([0, 1, 2], [0, 0, 0])
    assert (sampler.num_steps, sampler.num_fillers) == (2, 1)
