"""What stands against what: single runs, or groups of runs that differ in chance alone."""

import string
from collections.abc import Sequence

from hrdet_cli.errors import SpecError

BETWEEN_GROUPS = "vs"
"""The word between groups on the command line."""
MOST_SIDES = len(string.ascii_uppercase)


def split_into_sides(words: Sequence[str]) -> list[list[str]]:
    """The sources of each side: ``A B C`` are three, and ``A1 A2 vs B1 B2`` two of two runs each.

    Raises:
        SpecError: There are fewer than two sides, one is empty, or a source is named twice.
    """
    if BETWEEN_GROUPS in words:
        sides: list[list[str]] = [[]]
        for word in words:
            if word == BETWEEN_GROUPS:
                sides.append([])
            else:
                sides[-1].append(word)
    else:
        sides = [[word] for word in words]
    if len(sides) < 2 or not all(sides):
        raise SpecError(
            ["name what to compare: hrdet compare A B, or groups of runs: hrdet compare A1 A2 vs B1 B2"]
        )
    if len(sides) > MOST_SIDES:
        raise SpecError([f"{len(sides)} sides are too many to compare; name {MOST_SIDES} at most"])
    sources = [source for side in sides for source in side]
    twice = sorted({source for source in sources if sources.count(source) > 1})
    if twice:
        raise SpecError([f"{twice[0]}: is named twice; name each run once"])
    return sides


def letter_of(side: int) -> str:
    """What a side is called: A for the first one, with which the others are compared."""
    return string.ascii_uppercase[side]
