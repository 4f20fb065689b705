"""What goes on is shown where it takes long: a bar on a terminal, a line elsewhere."""

import gc
import io
import re
import sys
import time
from collections.abc import Callable, Generator

import pytest
from rich.console import Console

from hrdet_cli.activity import doing, remark
from hrdet_cli.cli.display import work
from hrdet_cli.cli.display.progress import drive_work
from hrdet_cli.cli.display.work import load_torch, shown_work
from hrdet_cli.runs.progress import WorkProgress


@pytest.fixture
def screen() -> io.StringIO:
    return io.StringIO()


@pytest.fixture(autouse=True)
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work takes long from the hundredth part of a second on."""
    monkeypatch.setattr(work, "_BAR_SECONDS", 0.01)
    monkeypatch.setattr(work, "_LINE_SECONDS", 0.01)


def wait_for(is_there: Callable[[], bool]) -> None:
    """Give the timer's thread its time, and the bars' thread."""
    end = time.monotonic() + 5
    while not is_there() and time.monotonic() < end:
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("unit", "done", "in_all", "shown"),
    [
        ("bytes", 3_100_000, 107_100_000, "3.1/107.1 MB"),
        ("bytes", 3_100_000, None, "3.1 MB"),
        ("pictures", 1_200, 3_000, "1,200/3,000 pictures"),
    ],
)
def test_a_terminal_gets_a_bar_with_what_is_counted(
    unit: str, done: int, in_all: int | None, shown: str, screen: io.StringIO
) -> None:
    console = Console(file=screen, force_terminal=True, width=100)
    with shown_work(console), doing("fetching x", unit=unit) as advance:
        advance(done, in_all)
        wait_for(lambda: shown in screen.getvalue())
    assert re.search(rf"fetching x.*{re.escape(shown)}", screen.getvalue())
    assert re.search(r"\x1b\[2K\x1b\[\?25h\s*\Z", screen.getvalue())  # the bar is gone, and the cursor back


def test_without_a_terminal_there_is_one_line_for_it(screen: io.StringIO) -> None:
    with shown_work(Console(file=screen)), doing("reading x"):
        wait_for(lambda: bool(screen.getvalue()))
    assert screen.getvalue() == "reading x ...\n"


def test_what_is_known_to_take_long_is_shown_before(
    screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The JSON reader lets no timer's thread run."""
    monkeypatch.undo()  # the true delays
    with shown_work(Console(file=screen)), doing("reading x", at_once=True):
        assert screen.getvalue() == "reading x ...\n"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_what_is_over_at_once_is_not_shown(
    is_terminal: bool, screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the true delays
    with shown_work(Console(file=screen, force_terminal=is_terminal)), doing("reading x"):
        pass
    assert screen.getvalue() == ""


def test_remarks_are_lines_at_once_and_nobody_need_listen(screen: io.StringIO) -> None:
    remark("nobody hears this")
    with shown_work(Console(file=screen)):
        remark("no answer")
    assert screen.getvalue() == "note: no answer\n"


def test_work_beneath_a_driven_piece_is_shown_and_then_the_piece_again(screen: io.StringIO) -> None:
    def progress() -> Generator[WorkProgress, None, str]:
        yield WorkProgress("warming up", 3, 8)
        wait_for(lambda: "warming up ..." in screen.getvalue())
        with doing("fetching x"):
            wait_for(lambda: "fetching x ..." in screen.getvalue())
        wait_for(lambda: screen.getvalue().count("warming up ...") == 2)
        return "made"

    assert drive_work(progress(), Console(file=screen)) == "made"
    assert screen.getvalue() == "warming up ...\nfetching x ...\nwarming up ...\n"


def test_what_torch_makes_when_it_is_loaded_is_not_looked_at_for_garbage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[object] = []
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(work, "import_module", lambda name: seen.append((name, gc.isenabled())))
    monkeypatch.setattr(gc, "freeze", lambda: seen.append("frozen"))
    load_torch()
    assert seen == [("torch", False), "frozen"]
    assert gc.isenabled()


def test_what_is_loaded_already_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    monkeypatch.setattr(gc, "freeze", lambda: pytest.fail("objects of others would never be collected"))
    load_torch()
