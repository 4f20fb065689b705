"""hotcoco against pycocotools: every number of both arrays is the same, to the last bit."""

import numpy as np
from hypothesis import given, settings

from hrdet_cli.engine.evaluation.back_ends import compare
from hrdet_cli.engine.evaluation.comparison import Comparison
from tests.drawn_comparisons import comparisons


def assert_same_curves(comparison: Comparison) -> None:
    fast, slow = compare(comparison, "hotcoco"), compare(comparison, "pycocotools")
    np.testing.assert_array_equal(fast.precision, slow.precision, strict=True)
    np.testing.assert_array_equal(fast.recall, slow.recall, strict=True)


@settings(deadline=None, max_examples=25)
@given(comparisons("box"))
def test_boxes_have_the_curves_of_pycocotools(comparison: Comparison) -> None:
    assert_same_curves(comparison)


@settings(deadline=None, max_examples=12)
@given(comparisons("mask"))
def test_masks_have_the_curves_of_pycocotools(comparison: Comparison) -> None:
    assert_same_curves(comparison)
