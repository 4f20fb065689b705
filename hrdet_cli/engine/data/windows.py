"""Where tiles lie in their pictures, as arrays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.geometry import Size, Window


@dataclass(frozen=True, slots=True, eq=False)
class Windows:
    """M windows, in numbers that worker processes share without copying them.

    Attributes:
        edges: ``(M, 6)`` int32: left, top, height, width, and height and width of the whole picture.
    """

    edges: NDArray[np.int32]

    @classmethod
    def of(cls, windows: Sequence[Window]) -> Self:
        """These."""
        rows = [(w.left, w.top, w.size.height, w.size.width, w.whole.height, w.whole.width) for w in windows]
        return cls(np.array(rows, dtype=np.int32).reshape(-1, 6))

    def __getitem__(self, index: int) -> Window | None:
        """Window ``index``; None where it is all of its picture."""
        left, top, height, width, whole_height, whole_width = self.edges[index].tolist()
        window = Window(left, top, Size(height, width), Size(whole_height, whole_width))
        return None if window.is_whole else window
