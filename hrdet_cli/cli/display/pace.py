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
