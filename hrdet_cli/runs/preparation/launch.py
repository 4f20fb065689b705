"""How a training command was started."""

from dataclasses import dataclass
from typing import Literal

Resume = Literal["never", "if-begun", "always"]


@dataclass(frozen=True, slots=True)
class Launch:
    """How a training command was started.

    Attributes:
        resume: Whether to go on with the run in the folder; ``"if-begun"`` does where there is one.
        overwrite: Replace the run that is in the folder, once everything else is known to be in order.
        hosts: Name of each process's node, by rank.
        launch_id: The same for all processes and restarts of one launch; None where nothing restarts them.
    """

    resume: Resume
    overwrite: bool
    hosts: tuple[str, ...]
    launch_id: str | None
