"""How fast a run goes, over its last steps: one step alone says little, for pictures differ in size."""

from collections import deque

from hrdet_cli.engine.training.reports import StepReport


class Pace:
    """Means over the last steps.

    Args:
        num_steps: Over so many.
    """

    def __init__(self, num_steps: int) -> None:
        self._reports: deque[StepReport] = deque(maxlen=num_steps)

    def add(self, report: StepReport) -> None:
        """Take a step into account."""
        self._reports.append(report)

    @property
    def step_seconds(self) -> float:
        """Time of a step."""
        return sum(report.step_seconds for report in self._reports) / len(self._reports)

    @property
    def images_per_second(self) -> float:
        """Pictures trained per second, over all processes."""
        num_images = sum(report.num_images for report in self._reports)
        return num_images / sum(report.step_seconds for report in self._reports)

    @property
    def data_wait(self) -> float:
        """Share of the time in which this process waited for its batch, in [0, 1]."""
        seconds = sum(report.step_seconds for report in self._reports)
        return sum(report.data_seconds for report in self._reports) / seconds


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
