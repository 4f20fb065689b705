"""Areas of boxes on pictures, and what boxes have in common."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.floating[Any]]  # (n, 4)


def areas(boxes: Boxes) -> NDArray[np.float64]:
    """``(B,)`` areas of ``(B, 4)`` boxes."""
    found: NDArray[np.float64] = (boxes[:, 2:] - boxes[:, :2]).astype(np.float64).clip(min=0).prod(axis=1)
    return found


def common_areas(first: Boxes, second: Boxes) -> NDArray[np.float64]:
    """``(P, B)`` areas of the intersections of ``(P, 4)`` with ``(B, 4)`` boxes."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    found: NDArray[np.float64] = (high - low).astype(np.float64).clip(min=0).prod(axis=2)
    return found
