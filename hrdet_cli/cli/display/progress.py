"""Work that says itself how far it is, driven to its end behind a progress bar."""

from collections.abc import Generator
from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from hrdet_cli.activity import Activity, ActivityListener, heard_by
from hrdet_cli.cli.display.work import shown_work
from hrdet_cli.runs.progress import WorkProgress

if TYPE_CHECKING:
    from hrdet_cli.runs.events import EvaluationProgress  # events of a training import torch

Result = TypeVar("Result")


class _Above:
    """Shows what is said of work beneath a piece of work, and that piece again behind it."""

    def __init__(self, display: ActivityListener) -> None:
        self._display = display
        self._piece: Activity | None = None

    def begin(self, piece: Activity) -> None:
        """Show a piece of work."""
        self._piece = piece
        self._display.show(piece)

    def show(self, activity: Activity | None) -> None:
        self._display.show(activity or self._piece)

    def remark(self, sentence: str) -> None:
        self._display.remark(sentence)


def drive_evaluation(
    events: "Generator[EvaluationProgress, None, Result]", console: Console | None = None
) -> Result | None:
    """Run an evaluation to its end behind a progress bar and return its result; None where it was stopped."""
    with shown_work(console) as display:
        above = _Above(display)
        with heard_by(above):
            while True:
                try:
                    event = next(events)
                except StopIteration as stop:
                    result: Result = stop.value
                    return result
                if event.stop_asked:
                    events.close()
                    return None
                above.begin(Activity("evaluating", event.num_done, event.num_in_all, event.unit))


def drive_work(progress: Generator[WorkProgress, None, Result], console: Console | None = None) -> Result:
    """Do a piece of work to its end behind a progress bar and return its result."""
    with shown_work(console) as display:
        above = _Above(display)
        with heard_by(above):
            while True:
                try:
                    event = next(progress)
                except StopIteration as stop:
                    result: Result = stop.value
                    return result
                what = f"{event.what}, which takes {event.takes}" if event.takes else event.what
                above.begin(Activity(what, event.num_done, event.num_in_all))
