"""The values that are compared: a detector's numbers, and the average precisions of its classes."""

from collections.abc import Iterable
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.averages import Average, averages_of
from hrdet_cli.engine.evaluation.coco_metrics import TaskMetrics
from hrdet_cli.engine.evaluation.preparation import PreparedComparison
from hrdet_cli.engine.evaluation.resampling.curves import CurveSampler
from hrdet_cli.engine.evaluation.resampling.draws import Draws
from hrdet_cli.engine.evaluation.resampling.matching import ClassMatches, Matches, match

Values = NDArray[np.float64]

NUMBERS_OF_CLASSES = ("AP", "AP50")
"""What is told of each class."""


def values_of(metrics: TaskMetrics) -> Values:
    """``(V,)`` a detector's numbers, then AP of each class, then AP50 of each; NaN where there is none."""
    numbers = list(metrics.numbers.values())
    classes = metrics.classes.values()
    numbers += [of_class.average_precision for of_class in classes]
    numbers += [of_class.average_precision_50 for of_class in classes]
    return np.array(numbers, dtype=np.float64)  # None becomes NaN


class ValueSampler:
    """The same values of resamples.

    Args:
        prepared: What the detector found, and what there is.

    Attributes:
        num_pictures: ``(V,)`` int64, pictures with an object that a value is of.
    """

    def __init__(self, prepared: PreparedComparison) -> None:
        self._averages = averages_of(prepared.comparison)
        self._columns = np.argsort(prepared.labels)
        matches = match(prepared.comparison)
        self._sampler = CurveSampler(matches, self._averages)
        of_classes = [_num_pictures([matches.classes[column]], size=0) for column in self._columns]
        of_numbers = [
            _num_pictures(_classes_of(average, matches), average.size) for average in self._averages
        ]
        self.num_pictures = np.array([*of_numbers, *of_classes, *of_classes], dtype=np.int64)

    def values(self, draws: Draws) -> Values:
        """``(B, V)``, those of B resamples; NaN where a resample has nothing to find."""
        curves = self._sampler.curves(draws)
        numbers = [_mean(average.values_in(curves)) for average in self._averages]
        first = self._averages[0]
        of_classes = curves.precision[..., first.size, first.limit][..., self._columns]
        of_classes = np.where(of_classes > -1, of_classes, np.nan)
        return np.concatenate([np.stack(numbers, axis=1), of_classes.mean(axis=0), of_classes[0]], axis=1)


def _classes_of(average: Average, matches: Matches) -> Iterable[ClassMatches]:
    is_class = average.is_class
    return matches.classes if is_class is None else compress(matches.classes, is_class.tolist())


def _num_pictures(classes: Iterable[ClassMatches], size: int) -> int:
    """How many have an object of one of some classes, of a size."""
    pictures = [one.object_pictures[one.is_counted[size]] for one in classes]
    return len(np.unique(np.concatenate(pictures))) if pictures else 0


def _mean(values: Values) -> Values:
    """``(B,)`` of ``(T, B, K)``: the mean of what there is something to find for."""
    is_there = values > -1
    sums, counts = np.where(is_there, values, 0).sum(axis=(0, 2)), is_there.sum(axis=(0, 2))
    means = np.full(len(counts), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
