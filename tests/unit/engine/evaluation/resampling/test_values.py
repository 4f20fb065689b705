"""The values that are compared, of all pictures and of resamples."""

from dataclasses import replace

import numpy as np

from hrdet_cli.engine.evaluation.preparation import PreparedComparison
from hrdet_cli.engine.evaluation.resampling.values import ValueSampler, values_of
from hrdet_cli.engine.evaluation.scoring import score_prepared
from tests.comparisons import random_comparison


def test_resamples_have_the_values_of_an_evaluation_in_its_order() -> None:
    comparison = replace(random_comparison(0, num_crowd=3), limits=(1, 10, 100, 300), num_classes=4)
    num_pictures = len(comparison.picture_sizes)
    labels = np.array([2, 0, 3, 1])
    prepared = PreparedComparison(
        comparison,
        np.arange(num_pictures),
        labels,
        np.arange(len(comparison.is_crowd)),
        np.zeros(num_pictures, dtype=np.bool_),
    )
    metrics = score_prepared({"box": prepared}, ["a", "none of it", "c", "d"]).tasks["box"]
    expected = values_of(metrics)
    sampler = ValueSampler(prepared)
    values = sampler.values(np.ones((1, num_pictures), dtype=np.int32))
    np.testing.assert_allclose(values[0], expected, rtol=0, atol=1e-12)
    assert len(expected) == len(metrics.numbers) + 2 * 4
    assert np.isnan(expected).tolist()[-8:] == [False, True, False, False] * 2
    truth = comparison.truth
    of_all, of_first = (
        len(set(truth.pictures[~comparison.is_crowd & is_class].tolist()))
        for is_class in (truth.classes >= 0, truth.classes == 1)  # class 1 has label 0
    )
    assert (sampler.num_pictures[0], sampler.num_pictures[-8]) == (of_all, of_first)
    assert sampler.num_pictures[-7] == 0
