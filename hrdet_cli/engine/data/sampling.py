"""How often pictures are to be shown, so that rare classes are seen more often."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.coco import CocoAnnotations


def repeat_factors(
    annotations: CocoAnnotations, indices: NDArray[np.int64], *, threshold: float
) -> NDArray[np.float64]:
    """LVIS's repeat factors (Gupta et al. 2019, appendix B.2).

    A class in a share f of the pictures has the factor ``max(1, sqrt(threshold / f))``, and a picture the
    largest of its classes. A picture without a class has 1.

    Args:
        annotations: Boxes and classes; crowd regions do not count.
        indices: ``(M,)`` positions in the annotation file of the pictures that take part.
        threshold: Classes in a smaller share of the pictures are shown more often.

    Returns:
        ``(M,)`` factors, 1 or more.
    """
    pictures, labels = _classes_by_picture(annotations, indices)
    counts = np.bincount(labels, minlength=len(annotations.class_names))
    shares = np.maximum(counts, 1) / len(indices)
    factors = np.ones(len(indices))
    np.maximum.at(factors, pictures, np.sqrt(threshold / shares)[labels])
    return factors


def class_aware_rates(annotations: CocoAnnotations, indices: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often pictures come when classes take turns, each with a picture of it (Shen et al. 2016).

    Of C classes each gets the same share of the showings, and its pictures the same share of that; so a
    picture with several classes comes for each of them. Pictures without a class come once in an epoch.

    Args:
        annotations: As for `repeat_factors`.
        indices: Likewise.

    Returns:
        ``(M,)`` rates with the sum M.
    """
    pictures, labels = _classes_by_picture(annotations, indices)
    if not len(pictures):
        return np.ones(len(indices))
    counts = np.bincount(labels, minlength=len(annotations.class_names))
    rates = np.bincount(pictures, weights=1 / counts[labels], minlength=len(indices))
    has_class = rates > 0
    rates *= has_class.sum() / np.count_nonzero(counts)
    return np.where(has_class, rates, 1.0)


def with_shares(
    rates: NDArray[np.float64], sets: NDArray[np.int64], shares: Sequence[float]
) -> NDArray[np.float64]:
    """Rates of which each data set has its share, in as many showings in all.

    Args:
        rates: ``(M,)`` how often each picture is to be shown.
        sets: ``(M,)`` the data set of each, counted from 0.
        shares: Of the data sets, relative to each other; one without pictures leaves its own to the others.
    """
    totals = np.bincount(sets, weights=rates, minlength=len(shares))
    wanted = np.where(totals > 0, shares, 0.0)
    factors: NDArray[np.float64] = wanted / wanted.sum() * totals.sum() / np.where(totals > 0, totals, 1.0)
    return rates * factors[sets]


def showings_by_class(
    annotations: CocoAnnotations, indices: NDArray[np.int64], showings: NDArray[np.float64]
) -> NDArray[np.float64]:
    """``(K,)`` how often an epoch shows a picture of each class.

    Args:
        annotations: As for `repeat_factors`.
        indices: Likewise.
        showings: ``(M,)`` how often it shows each picture.
    """
    pictures, labels = _classes_by_picture(annotations, indices)
    totals = np.zeros(len(annotations.class_names))
    np.add.at(totals, labels, showings[pictures])
    return totals


def _classes_by_picture(
    annotations: CocoAnnotations, indices: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """``(P,)`` positions in ``indices`` and labels: each class of each picture once."""
    num_classes = len(annotations.class_names)
    place_of_picture = np.full(len(annotations), -1, dtype=np.int64)
    place_of_picture[indices] = np.arange(len(indices))
    places = np.repeat(place_of_picture, np.diff(annotations.offsets))
    is_counted = ~annotations.is_crowd & (places >= 0)
    pairs = np.unique(places[is_counted] * num_classes + annotations.labels[is_counted])
    return pairs // num_classes, pairs % num_classes
