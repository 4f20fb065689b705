"""Progress bars."""

from collections.abc import Generator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hrdet_cli.runs.events import EvaluationProgress
from hrdet_cli.runs.progress import WorkProgress

Result = TypeVar("Result")


def evaluation_bar(console: Console) -> Progress:
    """A bar that counts what is evaluated and goes away when it is full."""
    return Progress(
        TextColumn("evaluating"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def drive_evaluation(events: Generator[EvaluationProgress, None, Result], console: Console) -> Result | None:
    """Run an evaluation to its end behind a progress bar and return its result; None where it was stopped."""
    with evaluation_bar(console) as bar:
        task = bar.add_task("evaluating", total=None, unit="pictures")
        while True:
            try:
                event = next(events)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            if event.stop_asked:
                events.close()
                return None
            bar.update(task, completed=event.num_done, total=event.num_in_all, unit=event.unit)


def drive_work(progress: Generator[WorkProgress, None, Result], console: Console) -> Result:
    """Do a piece of work to its end behind a progress bar and return its result.

    Without a terminal there is no bar, but a line for what takes long.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=None)
        while True:
            try:
                event = next(progress)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            text = f"{event.what}, which takes {event.takes}" if event.takes else event.what
            if event.takes and not console.is_terminal:
                console.print(text, soft_wrap=True)
            bar.update(task, description=text, completed=event.num_done, total=event.num_in_all)
