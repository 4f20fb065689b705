"""Rates of pictures by the classes in them."""

from dataclasses import replace

import numpy as np
import pytest

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.sampling import (
    class_aware_rates,
    repeat_factors,
    showings_by_class,
    with_shares,
)
from tests.planned_runs import make_annotations


def _annotations(*pictures: str, crowd: str = "") -> CocoAnnotations:
    """Pictures by the classes of their boxes, ``"aab"`` for two boxes of class a and one of class b."""
    letters = "".join(pictures) + crowd
    counts = [len(picture) for picture in pictures]
    counts[-1] += len(crowd)
    return replace(
        make_annotations(len(pictures), boxes_a_picture=1, classes=("a", "b", "c", "d")),
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        boxes=np.tile(np.array([[0, 0, 9, 9]], dtype=np.float32), (len(letters), 1)),
        labels=np.array(["abcd".index(letter) for letter in letters], dtype=np.int64),
        is_crowd=np.arange(len(letters)) >= len(letters) - len(crowd),
    )


def test_repeat_factors_are_those_of_lvis() -> None:
    annotations = _annotations(*["aaa"] * 7, "ab", "abc", "", crowd="d")
    factors = repeat_factors(annotations, np.arange(10), threshold=0.4)
    # a in 9 of 10 pictures: 1. b in 2: sqrt(0.4 / 0.2). c in 1: sqrt(0.4 / 0.1) = 2. Crowd regions are none.
    assert factors == pytest.approx([1] * 7 + [2**0.5, 2, 1])


def test_shares_of_pictures_are_of_those_that_take_part() -> None:
    annotations = _annotations("c", "a", "ab", "a", "a")
    assert repeat_factors(annotations, np.array([1, 2]), threshold=1.0) == pytest.approx([1, 2**0.5])


def test_class_aware_rates_show_every_class_equally_often_and_pictures_without_one_once() -> None:
    annotations = _annotations(*["a"] * 6, "b", "b", "c", "", crowd="a")
    indices = np.arange(10)
    rates = class_aware_rates(annotations, indices)
    assert rates == pytest.approx([0.5] * 6 + [1.5] * 2 + [3, 1])
    assert showings_by_class(annotations, indices, rates) == pytest.approx([3, 3, 3, 0])


def test_a_picture_of_two_classes_comes_for_each_of_them() -> None:
    rates = class_aware_rates(_annotations("aa", "a", "ab"), np.arange(3))
    assert rates == pytest.approx([3 / 6, 3 / 6, 3 / 6 + 3 / 2])


def test_without_any_class_all_pictures_come_once() -> None:
    assert class_aware_rates(_annotations("", "", "d"), np.array([0, 1])).tolist() == [1, 1]


def test_every_data_set_gets_its_share_of_the_showings() -> None:
    rates, sets = np.array([1.0, 1.0, 4.0, 2.0, 2.0]), np.array([0, 0, 0, 1, 1])
    shared = with_shares(rates, sets, [1, 3])
    assert shared.sum() == pytest.approx(10)
    assert np.bincount(sets, weights=shared) == pytest.approx([2.5, 7.5])
    assert shared[2] / shared[0] == pytest.approx(4)
    assert with_shares(rates[:3], sets[:3], [1, 3]) == pytest.approx(rates[:3])
