"""What LVIS's rules change in a comparison (``lvis-api``, ``lvis/eval.py`` and ``lvis/results.py``)."""

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.comparison import Comparison


def rows_looked_at(comparison: Comparison) -> NDArray[np.int64]:
    """Rows of detections that count at all, ascending.

    By LVIS's rules the best of each picture, of whatever class, and of these the ones of classes for which
    the picture was looked through: it has an object of the class, or surely none. Without them all.
    """
    found, federated = comparison.found, comparison.federated
    if federated is None:
        return np.arange(len(comparison.scores))
    order = np.lexsort((-comparison.scores, found.pictures))
    first = np.searchsorted(found.pictures[order], found.pictures[order])
    rows = np.sort(order[np.arange(len(order)) - first < comparison.limits[-1]])
    judged = [comparison.groups_of(comparison.truth), comparison.group_of(*federated.negatives.T)]
    return rows[np.isin(comparison.groups_of(found)[rows], np.concatenate(judged))]


def may_be_unmarked(comparison: Comparison) -> NDArray[np.bool_]:
    """``(D,)`` which detections are of a class whose objects are not all marked in their picture."""
    if comparison.federated is None:
        return np.zeros(len(comparison.scores), dtype=np.bool_)
    unmarked = comparison.group_of(*comparison.federated.not_exhaustive.T)
    return np.isin(comparison.groups_of(comparison.found), unmarked)
