"""Long lists in messages: their first items, and that there are more. Every layer may use it."""

from collections.abc import Sequence


def first_few(items: Sequence[object], most: int = 5) -> str:
    """``a, b, c``, or ``a, b, ...`` where there are more than ``most``."""
    return ", ".join(map(str, items[:most])) + (", ..." if len(items) > most else "")


def first_and_count(items: Sequence[object], most: int = 5) -> str:
    """``a, b, c``, or ``a, b and 7 more`` where there are more than ``most``."""
    shown = ", ".join(map(str, items[:most]))
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown
