"""Round numbers along an axis."""

import math
from collections.abc import Sequence
from itertools import pairwise

_STEPS = (1.0, 2.0, 5.0, 10.0)
_UNITS = ((1e7, 1e-6, "M"), (1e4, 1e-3, "k"), (0.0, 1.0, ""))
"""From which number on, what it is multiplied by, and what stands behind it."""
_NEARLY = 1e-9


def ticks_between(low: float, high: float, *, most: int, are_whole: bool = False) -> list[float]:
    """The multiples of 1, 2 or 5 times a power of ten that lie between two numbers, ends included.

    Args:
        low: The lower end.
        high: The higher end; not below it.
        most: How many there are at most; two or more.
        are_whole: Whether they must be whole numbers.
    """
    if high <= low:
        return [low]
    least = (high - low) / (most - 1)
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * factor for factor in _STEPS if power * factor >= least * (1 - _NEARLY))
    step = max(step, 1.0) if are_whole else step
    first, last = math.ceil(low / step - _NEARLY), math.floor(high / step + _NEARLY)
    return [number * step for number in range(first, last + 1)]


def tick_labels(ticks: Sequence[float], *, as_percent: bool = False) -> list[str]:
    """What is written at ticks, with as many decimals as tell them apart.

    Args:
        ticks: One or more.
        as_percent: Whether they are shares; else thousands of large ones are a ``k``, millions an ``M``.
    """
    highest = max(map(abs, ticks))
    scale, unit = next((scale, unit) for least, scale, unit in _UNITS if highest >= least)
    scale, unit = (100.0, "%") if as_percent else (scale, unit)
    step = scale * min((b - a for a, b in pairwise(ticks)), default=highest or 1.0)
    decimals = max(0, -math.floor(math.log10(step) + _NEARLY))
    return [f"{scale * tick:.{decimals}f}{unit}" if tick else "0" for tick in ticks]
