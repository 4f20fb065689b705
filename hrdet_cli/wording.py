"""How messages put long lists, long texts, counts, durations and commands. Every layer may use it."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def is_showable(text: str) -> bool:
    """Whether a name can be put on terminals and pictures and into files.

    Not where it has control characters, ends of lines, marks that turn the direction of what follows, or half
    of a UTF-16 pair, which no file in UTF-8 can hold.
    """
    return not _UNSHOWABLE.search(text)


def first_few(items: Sequence[object], most: int = 5) -> str:
    """``a, b, c``, or ``a, b, ...`` where there are more than ``most``."""
    return ", ".join(map(str, items[:most])) + (", ..." if len(items) > most else "")


def first_and_count(items: Sequence[object], most: int = 5) -> str:
    """``a, b, c``, or ``a, b and 7 more`` where there are more than ``most``."""
    shown = ", ".join(map(str, items[:most]))
    return f"{shown} and {len(items) - most} more" if len(items) > most else shown


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """``1 picture``, ``2,000 pictures``; the plural where it is not made with an s."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def after_epochs(epochs: Sequence[int]) -> str:
    """``after epoch 8``, ``after epochs 8 and 11``, ``after epochs 4, 5 and 6``; of one or more."""
    *all_but_last, last = map(str, epochs)
    return f"after epochs {', '.join(all_but_last)} and {last}" if all_but_last else f"after epoch {last}"


def shortened(text: str, most: int = 60) -> str:
    """A text of at most ``most`` characters: a longer one loses its middle, for names differ at the ends."""
    if len(text) <= most:
        return text
    tail = (most - 3) // 2
    return f"{text[: most - 3 - tail]}...{text[len(text) - tail :]}"


def command(*words: str | Path) -> str:
    """A command line that a POSIX shell takes as it stands: words with spaces and the like are quoted."""
    return shlex.join(map(str, words))


def format_duration(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2 h 05 min``, ``3 d 4 h``."""
    if round(seconds) < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours = round(seconds / 3600)
    if hours < 48:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{hours // 24} d {hours % 24} h"
