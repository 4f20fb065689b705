"""Operating point, confusion, calibration, slices and worst pictures, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from hrdet_cli.engine.evaluation.analysis.analysis import Analysis, analyse
from hrdet_cli.engine.evaluation.analysis.confusion import Confused
from hrdet_cli.engine.evaluation.analysis.slices import SliceAxis
from hrdet_cli.engine.evaluation.analysis.worst_pictures import BadPicture, worst_pictures
from hrdet_cli.engine.evaluation.comparison import Comparison
from hrdet_cli.engine.evaluation.preparation import PreparedComparison
from tests.comparisons import Box, comparison_of

HERE, THERE = (0, 0, 100, 100), (500, 500, 100, 100)
NOWHERE = (800, 0, 50, 50)


def analysis_of(
    comparison: Comparison, *, left_out: tuple[int, ...] = (), useful_shares: list[float] | None = None
) -> Analysis:
    num_pictures = len(comparison.picture_sizes)
    is_left_out = np.isin(np.arange(num_pictures), left_out)
    prepared = PreparedComparison(
        comparison,
        np.arange(num_pictures),
        np.arange(comparison.num_classes),
        np.arange(len(comparison.is_crowd)),
        is_left_out,
    )
    return analyse(prepared, useful_shares=None if useful_shares is None else np.array(useful_shares))


def axis_of(analysis: Analysis, name: str) -> SliceAxis:
    return next(axis for axis in analysis.axes if axis.name.startswith(name))


def test_the_operating_point_is_where_precision_and_recall_go_best_together() -> None:
    true = [(0, 0, HERE), (0, 0, THERE), (1, 0, HERE), (1, 0, THERE)]
    found = [
        (0, 0, HERE, 0.9),
        (0, 0, THERE, 0.6),
        (1, 0, HERE, 0.6),
        (0, 0, NOWHERE, 0.5),
        (1, 0, THERE, 0.1),
    ]
    # Two of the last ones, at 0.5 and 0.1, are one false and one right: 4 of 5, and 4 of 4 found. F1 is
    # 6 / 7 = 0.857 down to 0.6, 0.75 down to 0.5 and 8 / 9 = 0.889 with all.
    point = analysis_of(comparison_of(true, found)).operating_point
    assert point is not None
    assert (point.score, point.precision, point.recall) == (0.1, 0.8, 1.0)
    assert point.f1 == pytest.approx(8 / 9)


def test_equal_scores_are_taken_together() -> None:
    found = [(0, 0, HERE, 0.6), *((0, 0, (700 + 30 * n, 700, 20, 20), 0.6) for n in range(3))]
    point = analysis_of(comparison_of([(0, 0, HERE)], found)).operating_point
    assert point is not None
    assert (point.score, point.precision, point.recall) == (0.6, 0.25, 1.0)


def test_confusion_counts_what_objects_are_taken_for() -> None:
    true = [(0, 0, HERE), (0, 1, THERE), (1, 0, HERE), (1, 0, THERE)]
    found = [(0, 0, HERE, 0.9), (0, 0, THERE, 0.8), (1, 1, HERE, 0.7), (1, 1, NOWHERE, 0.6)]
    confusion = analysis_of(comparison_of(true, found)).confusion
    assert confusion.min_score == 0.9
    assert confusion.counts.tolist() == [[1, 0, 2], [0, 0, 1], [0, 0, 0]]
    found[0] = (0, 0, HERE, 0.5)
    confusion = analysis_of(comparison_of(true, found)).confusion
    assert confusion.counts.tolist() == [[1, 1, 1], [1, 0, 0], [0, 1, 0]]
    assert list(confusion.most_confused()) == [Confused(0, 1, 1, 1 / 3), Confused(1, 0, 1, 1.0)]


def test_confusion_leaves_crowd_regions_out() -> None:
    true = [(0, 0, HERE), (0, 0, THERE)]
    found = [(0, 0, HERE, 0.9), (0, 0, (510, 510, 20, 20), 0.95)]
    confusion = analysis_of(comparison_of(true, found, crowd=[1])).confusion
    assert confusion.counts.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_calibration_compares_scores_with_shares_that_are_right() -> None:
    true = [(0, 0, HERE), (0, 0, THERE)]
    found = [(0, 0, HERE, 0.95), (0, 0, NOWHERE, 0.91), (0, 0, THERE, 0.25)]
    calibration = analysis_of(comparison_of(true, found)).calibration
    assert [one.number for one in calibration.bins] == [0, 0, 1, 0, 0, 0, 0, 0, 0, 2]
    assert calibration.bins[9].mean_score == pytest.approx(0.93)
    assert calibration.bins[9].share_right == 0.5
    assert calibration.expected_error == pytest.approx((2 * 0.43 + 0.75) / 3)
    assert calibration.number == 3


def test_objects_are_cut_by_size_as_cocos_sizes_are() -> None:
    small, large = (0, 0, 20, 20), (500, 500, 100, 100)
    found = [(0, 0, large, 0.9), (0, 0, (700, 100, 20, 20), 0.8)]  # the false one is small
    sizes = axis_of(analysis_of(comparison_of([(0, 0, small), (0, 0, large)], found)), "object size")
    assert [one.name for one in sizes.slices] == ["16 to 32 px", "64 to 128 px"]
    assert [one.average_precision for one in sizes.slices] == [0.0, pytest.approx(1)]
    assert [(one.num_objects, one.share_found) for one in sizes.slices] == [(1, 0.0), (1, 1.0)]


def test_objects_are_cut_by_shape() -> None:
    wide, upright = (0, 0, 200, 50), (500, 500, 40, 100)
    shapes = axis_of(
        analysis_of(comparison_of([(0, 0, wide), (0, 0, upright)], [(0, 0, wide, 0.9)])), "object shape"
    )
    assert {one.name: one.average_precision_50 for one in shapes.slices} == {
        "1 : 3 to 2 : 3": 0.0,
        "over 3 : 1": pytest.approx(1),
    }


def test_pictures_are_cut_by_what_is_in_them() -> None:
    true = [(0, 0, HERE), (1, 0, HERE), (1, 0, THERE)]
    found = [(0, 0, HERE, 0.9), (1, 0, HERE, 0.8), (2, 0, HERE, 0.7)]
    comparison = comparison_of(true, found, num_pictures=4)
    crowdedness = axis_of(analysis_of(comparison, left_out=(3,)), "objects in the picture")
    none, one, two = crowdedness.slices
    assert (none.name, none.num_pictures, none.average_precision, none.share_found) == ("none", 1, None, None)
    assert (one.name, one.num_pictures, one.share_found) == ("1", 1, 1.0)
    assert one.average_precision == pytest.approx(1)
    assert (two.name, two.num_pictures, two.share_found) == ("2 to 3", 1, 0.5)
    assert two.average_precision == pytest.approx(51 / 101)


def test_pictures_are_cut_by_useful_pixels_where_these_are_known() -> None:
    comparison = comparison_of([(0, 0, HERE), (1, 0, HERE)], [(1, 0, HERE, 0.9)])
    useful = axis_of(analysis_of(comparison, useful_shares=[0.55, 1.0]), "useful pixels")
    assert [(one.name, one.average_precision) for one in useful.slices] == [
        ("50 to 60%", 0.0),
        ("90 to 100%", pytest.approx(1)),
    ]


def test_a_property_by_which_nothing_differs_is_left_out() -> None:
    comparison = comparison_of([(0, 0, HERE), (1, 0, HERE)], [(1, 0, HERE, 0.9)])
    assert analysis_of(comparison, useful_shares=[0.9, 0.95]).axes == []


def test_the_worst_pictures_have_most_that_is_missed_or_false() -> None:
    true = [(0, 0, HERE), (1, 0, HERE), (1, 0, THERE)]
    found = [(0, 0, HERE, 0.9), (0, 0, NOWHERE, 0.95), (2, 0, HERE, 0.1)]
    analysis = analysis_of(comparison_of(true, found, num_pictures=4))
    assert analysis.min_score == 0.9
    assert worst_pictures(analysis, 3) == [BadPicture(1, 0, 2, 2, 2.0), BadPicture(0, 1, 0, 1, 0.95)]
    assert worst_pictures(analysis, 1) == [BadPicture(1, 0, 2, 2, 2.0)]


@pytest.mark.parametrize("true", [[], [(0, 0, HERE)]])
def test_nothing_detected_is_analysed_too(true: list[tuple[int, int, Box]]) -> None:
    analysis = analysis_of(comparison_of(true, []))
    assert analysis.operating_point is None
    assert analysis.confusion.counts.sum() == len(true)
    assert analysis.calibration.number == 0
    assert len(worst_pictures(analysis, 5)) == len(true)


def test_only_cocos_hundred_detections_of_a_class_are_looked_at() -> None:
    found = [*((0, 0, NOWHERE, 0.9) for _ in range(100)), (0, 0, HERE, 0.5)]
    comparison = replace(comparison_of([(0, 0, HERE)], found), limits=(1, 10, 100, 300))
    analysis = analysis_of(comparison)
    assert analysis.matching.is_false.sum() == 100
    assert not analysis.matching.is_right.any()
