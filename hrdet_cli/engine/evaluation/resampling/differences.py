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

from hrdet_cli.engine.evaluation.resampling.values import Values

CONFIDENCE = 0.95

Verdict = Literal["better", "worse", "not distinguishable", "the same"]


@dataclass(frozen=True, slots=True)
class Difference:
    """How much higher a number of one side is than that of the baseline.

    Attributes:
        value: On all pictures.
        low: Lower end of its interval.
        high: Upper end.
    """

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Whether chance alone would make such a difference; all numbers are the better the higher."""
        if self.value == self.low == self.high == 0:
            return "the same"
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


def compare_sides(baseline: SampledSide, other: SampledSide, *, seed: int) -> list[Difference | None]:
    """V differences, other minus baseline; None where there is nothing to average.

    Args:
        baseline: One run or several.
        other: Of the same resamples.
        seed: Of the draws for trainings.
    """
    values = other.values.mean(axis=0) - baseline.values.mean(axis=0)
    samples = other.samples.mean(axis=0) - baseline.samples.mean(axis=0)
    if min(len(baseline.values), len(other.values)) > 1:  # or nobody knows the spread
        random = np.random.default_rng(seed)
        samples += _errors_of_mean(other, random) - _errors_of_mean(baseline, random)
    return [
        _difference(value, of_value[~np.isnan(of_value)])
        for value, of_value in zip(values.tolist(), samples.T, strict=True)
    ]


def _errors_of_mean(side: SampledSide, random: np.random.Generator) -> Values:
    """``(B, V)`` how far the mean over runs may be from that over all runs of the kind."""
    num_runs, num_samples, _ = side.samples.shape
    standard_error = side.values.std(axis=0, ddof=1) / np.sqrt(num_runs)
    errors: Values = random.standard_t(num_runs - 1, size=(num_samples, 1)) * standard_error
    return errors


def _difference(value: float, samples: Values) -> Difference | None:
    if np.isnan(value) or not len(samples):
        return None
    low, high = np.quantile(samples, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]).tolist()
    return Difference(value, low, high)
