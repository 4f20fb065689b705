"""Which measurements there is still time for, so that a slow GPU's report lacks the longest ones alone."""

import time
from dataclasses import dataclass

SLOWER = 4
"""Times that steps of a precision may take which has not been measured yet."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a measurement took.

    Attributes:
        precision: Of its steps.
        num_pictures: In each.
        in_steps: Seconds in steps alone, which grow with the pictures.
        beside: Seconds of all else: detectors are built, kernels too, and cuDNN tries its algorithms.
    """

    precision: str
    num_pictures: int
    in_steps: float
    beside: float


class TimeLeft:
    """Tells by the last measurement what the next one will take.

    Args:
        seconds: That all may take together; None sets no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self._last: _Taken | None = None

    def note(self, precision: str, num_pictures: int, *, seconds: float, in_steps: float) -> None:
        """A measurement has taken so many seconds, some of them in steps."""
        self._last = _Taken(precision, num_pictures, in_steps, max(0.0, seconds - in_steps))

    def suffices_for(self, precision: str, num_pictures: int) -> bool:
        """Whether steps with so many pictures are likely to be measured in time; the first always are."""
        last = self._last
        if self._end is None or last is None:
            return True
        in_steps = last.in_steps * num_pictures / last.num_pictures
        if precision != last.precision:
            in_steps *= SLOWER
        return time.monotonic() + last.beside + in_steps <= self._end
