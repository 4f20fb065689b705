"""How far a piece of work is, for whoever shows it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkProgress:
    """What is going on.

    Attributes:
        what: In words.
        num_done: Of what is counted, so far.
        num_in_all: How much there is of it; None where nothing can be counted.
        takes: How long it takes, in words, where it is long and nothing can be counted.
    """

    what: str
    num_done: int = 0
    num_in_all: int | None = None
    takes: str = ""
