"""A process's place among all of them, without torch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class World:
    """This process's place among all training processes.

    Attributes:
        rank: 0 .. size - 1.
        size: Number of processes over all nodes.
    """

    rank: int = 0
    size: int = 1
