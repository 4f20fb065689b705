"""Masks of one picture's objects, which take little room until somebody looks at one."""

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.mask_runs import MaskRuns
from hrdet_cli.engine.data.run_lengths import bitmap_of_runs, unpack_run_lengths


class Masks(Sequence[NDArray[np.bool_]]):
    """The masks of D objects of a picture: a sequence of bitmaps, each made when it is asked for.

    ``masks[0]`` is ``(H, W)`` bool of the whole picture, True inside the object; ``masks[:3]`` are the masks
    of three. They are held as run lengths, as COCO packs them.
    """

    def __init__(self, runs: MaskRuns) -> None:
        self.runs = runs

    def __len__(self) -> int:
        """D."""
        return len(self.runs.counts)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.bool_]: ...

    @overload
    def __getitem__(self, index: slice) -> "Masks": ...

    def __getitem__(self, index: int | slice) -> "NDArray[np.bool_] | Masks":
        """One mask, or some."""
        if isinstance(index, slice):
            return self.take(range(len(self))[index])
        return bitmap_of_runs(unpack_run_lengths(self.runs.counts[index]), self.runs.size)

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        """One mask after the other."""
        return self.runs.bitmaps()

    def __repr__(self) -> str:
        return f"<{len(self)} masks of {self.runs.size.height} x {self.runs.size.width} pixels>"

    def take(self, rows: Sequence[int]) -> "Masks":
        """The masks of those objects that have these numbers, in their order."""
        return Masks(self.runs.take(rows))

    def stack(self) -> NDArray[np.bool_]:
        """All of them at once, ``(D, H, W)`` bool: D times as many bytes as the picture has pixels."""
        size = self.runs.size
        stacked = np.zeros((len(self), size.height, size.width), dtype=np.bool_)
        for row, bitmap in enumerate(self):
            stacked[row] = bitmap
        return stacked

    def areas(self) -> NDArray[np.int64]:
        """``(D,)`` pixels of each; makes no bitmap."""
        return self.runs.areas()

    def to_coco(self) -> list[dict[str, Any]]:
        """What COCO's JSON has under ``segmentation``: ``size`` (height, width) and ``counts``, a text."""
        return self.runs.to_json()
