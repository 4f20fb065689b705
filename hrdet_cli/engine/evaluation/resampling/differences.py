"""Differences of two sides with what chance may make of them.

The interval of a difference is that of 95 of 100 resamples of the pictures (the percentile bootstrap), of
which both sides get the same ones: what is hard about a picture is so for both. It tells how far the
difference may be another one on other pictures of the kind.

Trainings differ, too. Where both sides have several runs, their means are compared, and how far a side's mean
may lie from that of all such trainings is drawn from a t distribution of the spread of its runs: together the
Behrens-Fisher distribution. It is wide for two or three runs, and has to be.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.resampling.values import Values

CONFIDENCE = 0.95
FEWEST_PICTURES = 10
"""A number of what fewer pictures have says nothing of others: draws of one picture are all the same."""
_ROUNDING = 1e-9
"""Smaller differences are those of adding up in another order."""

Verdict = Literal["better", "worse", "not distinguishable", "too few pictures", "the same"]


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher a number of one side is than that of the baseline.

    Attributes:
        value: On all pictures.
        low: Lower end of its interval.
        high: Upper end.
        num_pictures: How many have an object that the number is of.
    """

    value: float
    low: float
    high: float
    num_pictures: int

    @property
    def verdict(self) -> Verdict:
        """Whether chance alone would make such a difference; all numbers are the better the higher."""
        if self.value == self.low == self.high == 0:
            return "the same"
        if self.num_pictures < FEWEST_PICTURES:
            return "too few pictures"
        if self.low <= 0 <= self.high:
            return "not distinguishable"
        return "better" if self.low > 0 else "worse"


@dataclass(frozen=True, slots=True, eq=False)
class SampledSide:
    """V values of the N runs of a side.

    Attributes:
        values: ``(N, V)``; NaN where there is nothing to average.
        samples: ``(N, B, V)``, those of B resamples.
    """

    values: Values
    samples: Values


def compare_sides(
    baseline: SampledSide, other: SampledSide, *, num_pictures: NDArray[np.int64], seed: int
) -> list[Difference | None]:
    """V differences, other minus baseline; None where there is nothing to average.

    Args:
        baseline: One run or several.
        other: Of the same resamples.
        num_pictures: ``(V,)`` pictures with an object that a value is of.
        seed: Of the draws for trainings.
    """
    values = other.values.mean(axis=0) - baseline.values.mean(axis=0)
    samples = other.samples.mean(axis=0) - baseline.samples.mean(axis=0)
    if min(len(baseline.values), len(other.values)) > 1:  # or nobody knows the spread
        random = np.random.default_rng(seed)
        samples += _errors_of_mean(other, random) - _errors_of_mean(baseline, random)
    return [
        _difference(value, of_value[~np.isnan(of_value)], number)
        for value, of_value, number in zip(values.tolist(), samples.T, num_pictures.tolist(), strict=True)
    ]


def _errors_of_mean(side: SampledSide, random: np.random.Generator) -> Values:
    """``(B, V)`` how far the mean over runs may be from that over all runs of the kind."""
    num_runs, num_samples, _ = side.samples.shape
    standard_error = side.values.std(axis=0, ddof=1) / np.sqrt(num_runs)
    errors: Values = random.standard_t(num_runs - 1, size=(num_samples, 1)) * standard_error
    return errors


def _difference(value: float, samples: Values, num_pictures: int) -> Difference | None:
    if np.isnan(value) or not len(samples):
        return None
    ends = np.quantile(samples, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    value, low, high = (0.0 if abs(one) < _ROUNDING else one for one in (value, *ends.tolist()))
    return Difference(value, low, high, num_pictures)
