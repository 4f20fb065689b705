"""The masks of the objects of a picture, packed as COCO packs them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.run_lengths import bitmap_of_runs, unpack_run_lengths
from hrdet_cli.engine.geometry import Size


@dataclass(frozen=True, slots=True, eq=False)
class MaskRuns:
    """The masks of D objects of one picture.

    Attributes:
        size: Of the picture.
        counts: For each object COCO's compressed counts: lengths of runs of pixels, column by column, outside
            and inside in turn.
    """

    size: Size
    counts: tuple[bytes, ...]

    def take(self, rows: Sequence[int]) -> Self:
        """The masks of those objects that have these numbers, in their order."""
        return type(self)(self.size, tuple(self.counts[row] for row in rows))

    def to_json(self) -> list[dict[str, Any]]:
        """What COCO's JSON has under ``segmentation``, for each object."""
        size = [self.size.height, self.size.width]
        return [{"size": size, "counts": counts.decode("ascii")} for counts in self.counts]

    def areas(self) -> NDArray[np.int64]:
        """``(D,)`` pixels of each."""
        return np.array([unpack_run_lengths(counts)[1::2].sum() for counts in self.counts], dtype=np.int64)

    def bitmaps(self) -> Iterator[NDArray[np.bool_]]:
        """``(height, width)`` for each object, True inside."""
        for counts in self.counts:
            yield bitmap_of_runs(unpack_run_lengths(counts), self.size)
