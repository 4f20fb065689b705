"""COCO's and LVIS's numbers: of which precisions or recalls each is the mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.federated import FREQUENCIES
from hrdet_cli.engine.evaluation.comparison import IOU_THRESHOLDS, SIZES, Comparison, Curves
from hrdet_cli.engine.evaluation.preparation import COCO_LIMITS, LVIS_LIMITS

_SIZE_LETTERS = tuple(SIZES)
_OF_COCO = len(COCO_LIMITS) - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Average:
    """A number: the mean of precisions, or of recalls, where there is something to find.

    Attributes:
        name: Such as ``AP50``.
        of_recalls: Whether it is of recalls.
        limit: Position of its limit of detections.
        size: Position of its size of objects in `SIZES`.
        overlap: The IoU threshold it is of; None for all.
        is_class: ``(K,)`` bool, the classes it is of; None for all.
    """

    name: str
    of_recalls: bool = False
    limit: int
    size: int = 0
    overlap: float | None = None
    is_class: NDArray[np.bool_] | None = None

    def values_in(self, curves: Curves) -> NDArray[np.float64]:
        """``(T', ..., K')``: what it is the mean of; -1 where there is nothing to find."""
        values = (curves.recall if self.of_recalls else curves.precision)[..., self.size, self.limit]
        if self.overlap is not None:
            values = values[self.overlap == IOU_THRESHOLDS]
        return values if self.is_class is None else values[..., self.is_class]


def averages_of(comparison: Comparison) -> tuple[Average, ...]:
    """The numbers that are made of a comparison, in their order."""
    if comparison.federated is None:
        return tuple(coco_averages(comparison.limits))
    return tuple(lvis_averages(comparison.federated.frequencies))


def coco_averages(limits: Sequence[int]) -> Iterator[Average]:
    """The twelve in COCO's order, and those of more detections.

    Args:
        limits: `COCO_LIMITS`, and perhaps more, ascending.
    """
    yield from _precisions(_OF_COCO)
    for place, limit in enumerate(COCO_LIMITS):
        yield Average(name=f"AR{limit}", of_recalls=True, limit=place)
    yield from _by_size("AR{}", of_recalls=True, limit=_OF_COCO)
    more = list(enumerate(limits))[len(COCO_LIMITS) :]
    for place, limit in more[-1:]:
        yield Average(name=f"AP@{limit}", limit=place)
    for place, limit in more:
        yield Average(name=f"AR{limit}", of_recalls=True, limit=place)
    for place, limit in more[-1:]:
        yield from _by_size(f"AR{{}}{limit}", of_recalls=True, limit=place)


def lvis_averages(frequencies: Sequence[str]) -> Iterator[Average]:
    """LVIS's in its order.

    Args:
        frequencies: Of K classes, one of `FREQUENCIES` each.
    """
    yield from _precisions(limit=0)
    for frequency in FREQUENCIES:
        yield Average(name=f"AP{frequency}", limit=0, is_class=np.array(frequencies) == frequency)
    yield Average(name=f"AR{LVIS_LIMITS[0]}", of_recalls=True, limit=0)
    yield from _by_size("AR{}", of_recalls=True, limit=0)


def _precisions(limit: int) -> Iterator[Average]:
    yield Average(name="AP", limit=limit)
    yield Average(name="AP50", limit=limit, overlap=0.5)
    yield Average(name="AP75", limit=limit, overlap=0.75)
    yield from _by_size("AP{}", of_recalls=False, limit=limit)


def _by_size(name: str, *, of_recalls: bool, limit: int) -> Iterator[Average]:
    """One for each size of objects, whose letter goes into the name."""
    for size, letter in enumerate(_SIZE_LETTERS):
        if letter:
            yield Average(name=name.format(letter), of_recalls=of_recalls, limit=limit, size=size)
