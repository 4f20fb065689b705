"""What LVIS's files say beside COCO's: which pictures were looked through for which classes.

LVIS (Gupta, Dollar and Girshick, 2019, section 3) is *federated*: a picture is annotated for some of the
1203 classes alone. It says of which classes it surely has none (``neg_category_ids``), and of which not
every object is marked (``not_exhaustive_category_ids``). Categories say how many pictures they are in: rare
(to 10), common (to 100) or frequent.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

FREQUENCIES = ("r", "c", "f")
"""Rare, common, frequent."""


@dataclass(frozen=True, slots=True, eq=False)
class Federated:
    """For which classes pictures were looked through.

    Attributes:
        negatives: ``(P, 2)`` int64: positions of a picture and of a class that it surely has no object of.
        not_exhaustive: ``(Q, 2)`` int64: likewise of one of which it may have more than are marked.
        frequencies: Of K classes, one of `FREQUENCIES` each.
    """

    negatives: NDArray[np.int64]
    not_exhaustive: NDArray[np.int64]
    frequencies: tuple[str, ...]

    def of_labels(self, labels: Sequence[int]) -> Self:
        """Those of some classes, which get new labels: their places in the sequence."""
        place_by_label = {label: place for place, label in enumerate(labels)}

        def chosen(pairs: NDArray[np.int64]) -> NDArray[np.int64]:
            return pairs_of(
                (picture, place_by_label[label])
                for picture, label in pairs.tolist()
                if label in place_by_label
            )

        return type(self)(
            chosen(self.negatives),
            chosen(self.not_exhaustive),
            tuple(self.frequencies[label] for label in labels),
        )


def pairs_of(found: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """Pairs as ``(P, 2)``."""
    return np.array(list(found), dtype=np.int64).reshape(-1, 2)
