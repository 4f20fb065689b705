"""Work that takes long: a bar on a terminal, elsewhere a line. Does not import torch."""

import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from hrdet_cli.activity import Activity, doing, heard_by
from hrdet_cli.cli.display.console import print_line, progress_console

_MEGABYTE = 1e6
_BAR_SECONDS = 0.5
"""How long work lasts before it gets a bar."""
_LINE_SECONDS = 2.0
"""How long work lasts before it gets a line where there is no terminal."""


class CountColumn(ProgressColumn):
    """How much is done of how much, with what is counted: ``12/300 pictures``, ``3.1/107.1 MB``."""

    def render(self, task: Task) -> Text:
        """As Rich wants it; empty where nothing is counted."""
        unit: str = task.fields.get("unit", "")
        if task.total is None and not task.completed:
            return Text()
        if unit == "bytes":
            numbers, unit = [f"{task.completed / _MEGABYTE:.1f}"], "MB"
            numbers += [] if task.total is None else [f"{task.total / _MEGABYTE:.1f}"]
        else:
            numbers = [f"{int(task.completed):,}"]
            numbers += [] if task.total is None else [f"{int(task.total):,}"]
        return Text(" ".join(word for word in ("/".join(numbers), unit) if word), style="progress.download")


class WorkDisplay:
    """Shows what goes on; what is over at once is not shown.

    On a terminal what goes on has a bar that goes away behind it, elsewhere a line once it has lasted two
    seconds.

    Args:
        console: Where to draw; None for standard error, unless the user wants it quiet.
        bars: Where to put bars on a terminal; None for a display of their own.
    """

    def __init__(self, console: Console | None = None, bars: Progress | None = None) -> None:
        self._given = console
        self._host = bars
        self._console = console or progress_console()
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._activity: Activity | None = None
        self._timer: threading.Timer | None = None
        self._bars: Progress | None = None
        self._task: TaskID | None = None

    def show(self, activity: Activity | None) -> None:
        """Draw what goes on now; None where it is over. Forks, such as data workers, draw nothing."""
        if os.getpid() != self._process:
            return
        with self._lock:
            before, self._activity = self._activity, activity
            if activity is not None and before is not None and before.what == activity.what:
                self._update()
                return
            self._console = self._given or progress_console()  # by now the command line is read
            self._hide()
            if activity is not None and activity.at_once:
                self._reveal(activity.what)
            elif activity is not None:
                wait = _BAR_SECONDS if self._console.is_terminal else _LINE_SECONDS
                self._timer = threading.Timer(wait, self._reveal, [activity.what])
                self._timer.daemon = True
                self._timer.start()

    def remark(self, sentence: str) -> None:
        """Print a line at once."""
        if os.getpid() == self._process:
            print_line(self._given or progress_console(), Text(f"note: {sentence}"))

    def _reveal(self, what: str) -> None:
        """Draw what has lasted long, or will; a timer calls it."""
        with self._lock:
            activity = self._activity
            if activity is None or activity.what != what or self._task is not None:
                return
            if not self._console.is_terminal:
                print_line(self._console, Text(f"{what} ..."))
                return
            self._bars = self._host or _own_bars(self._console)
            if self._host is None:
                self._bars.start()
            self._task = self._bars.add_task(what, total=None, unit=activity.unit)
            self._update()

    def _update(self) -> None:
        if self._bars is not None and self._task is not None and self._activity is not None:
            done, in_all = self._activity.num_done, self._activity.num_in_all
            self._bars.update(self._task, completed=done, total=in_all)

    def _hide(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._bars is not None and self._task is not None:
            self._bars.remove_task(self._task)
            if self._host is None:
                self._bars.stop()
        self._bars, self._task = None, None


def load_torch() -> None:
    """Import torch, which takes seconds where its files are not in memory yet.

    It makes some hundred thousand objects that stay: none of them is looked at for garbage, now or later.
    """
    if "torch" in sys.modules:
        return
    with doing("loading torch"), _uncollected():
        import_module("torch")
    gc.freeze()


@contextmanager
def _uncollected() -> Iterator[None]:
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _own_bars(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), CountColumn(), TimeRemainingColumn())
    # What is printed meanwhile stays where it goes: standard output may be a file.
    return Progress(*columns, console=console, transient=True, redirect_stdout=False)


@contextmanager
def shown_work(console: Console | None = None) -> Iterator[WorkDisplay]:
    """Inside, what work says of itself is shown on standard error, or a console."""
    display = WorkDisplay(console)
    try:
        with heard_by(display):
            yield display
    finally:
        display.show(None)
