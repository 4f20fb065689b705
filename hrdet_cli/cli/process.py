"""One of a command's processes, as its work sees it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO


@dataclass(frozen=True, slots=True)
class Process:
    """One of a command's processes, as its work sees it.

    Attributes:
        is_first: It draws and writes; the others only log.
        stop_asked: Whether this process was asked to stop.
        log: Where its lines go beside the terminal; None for none.
        hosts: Name of each process's node, by rank.
        launch_id: The same in all processes of a launch, and after a restart; None where hrdet did not
            launch.
    """

    is_first: bool
    stop_asked: Callable[[], bool]
    log: IO[str] | None
    hosts: tuple[str, ...]
    launch_id: str | None

    @property
    def is_alone(self) -> bool:
        """Whether there are no others."""
        return len(self.hosts) == 1


Work = Callable[[Process], bool]
"""What a command does in each process; whether it was stopped before its end."""
