"""How long a run needs from being told to stop until it has saved."""

import math
from dataclasses import dataclass

from hrdet_cli.errors import OutputError
from hrdet_cli.runs.run_folder import RunFolder

UNMEASURED_SECONDS = 180
_MARGIN_SECONDS = 30
_ROUNDED_TO_SECONDS = 10


@dataclass(frozen=True, slots=True)
class Grace:
    """The time a scheduler is to leave between its signal and the end.

    Attributes:
        seconds: So long.
        reason: What it was made of, in words.
    """

    seconds: int
    reason: str


UNMEASURED = Grace(
    UNMEASURED_SECONDS,
    "a guess; --measured RUN makes it of the slowest step and checkpoint of a run like this",
)


def grace_of(folder: RunFolder) -> Grace:
    """Twice the slowest step and checkpoint of a run, and half a minute.

    Raises:
        OutputError: There is no run, or nothing was measured in it.
    """
    folder.require()
    record = folder.read_record()
    steps = [] if record is None else [entry.get("largest_step") for entry in record.launches]
    step_seconds = [step["seconds"] for step in steps if isinstance(step, dict)]
    checkpoint = None if record is None else record.slowest_checkpoint
    if checkpoint is None or not step_seconds:
        raise OutputError(
            f"{folder.path}: {folder.record_file.name} does not say what a step and a checkpoint took; it "
            "does as soon as a run has written a checkpoint"
        )
    needed = 2 * (max(step_seconds) + checkpoint.seconds) + _MARGIN_SECONDS
    return Grace(
        math.ceil(needed / _ROUNDED_TO_SECONDS) * _ROUNDED_TO_SECONDS,
        f"twice the slowest step ({max(step_seconds):.1f} s) and checkpoint ({checkpoint.seconds:.1f} s) of "
        f"{folder.path}, and {_MARGIN_SECONDS} s",
    )
