"""Settings of all tests."""

import gc
import os
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser import NAMES, VARIABLE, Browser, check_page, find_browser

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadFileScheduling

# Tests run small shapes, some in several processes: more threads than one would only wait for each other.
# It has to be set before torch is imported, and the processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# cuBLAS reads once whether its products must be deterministic, at the first of all tests.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
# A process that a test starts and that aborts says where it was.
os.environ.setdefault("PYTHONFAULTHANDLER", "1")

TOGETHER = ("tests/distributed/test_node", "tests/unit/engine/export/")
"""How paths of files begin that one process runs, one after another."""


def pytest_configure(config: pytest.Config) -> None:
    """Tests compute on the CPU, also where there is a GPU, unless those alone are asked for that need one.

    What they expect is a CPU's, and runs take a GPU where they see one.
    """
    if config.option.markexpr != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What all tests import is not looked through for garbage, neither while it is imported nor ever after.

    These are some million objects, and Python would do so every few tests.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """A command that a test runs in this process has signals end it from then on, as a shell's would.

    Forks inherit that, and one of a pool that waits for a lock may never come to run a handler of Python's.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        if signal.getsignal(number) != handler:
            signal.signal(number, handler)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium; tests that need it are skipped where none is installed."""
    program = find_browser()
    if program is None:
        pytest.skip(f"no browser: neither {VARIABLE} names one, nor is {' or '.join(NAMES)} on the path")
    running = Browser(program, tmp_path_factory.mktemp("browser"))
    yield running
    running.close()


@pytest.fixture
def look_at_page(browser: Browser, tmp_path: Path) -> Callable[[Path], None]:
    """Looks at a page on a phone and a desktop, in light and dark; see `check_page`."""
    return lambda page: check_page(browser, page, tmp_path)


@pytest.hookimpl(optionalhook=True)  # pytest-xdist calls it when tests run side by side
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "LoadFileScheduling":
    """Keep the tests of a file together, because they share fixtures.

    So are all tests of nodes, which watch how fast several processes notice things: two of them at once would
    find no processor free. And all of exports, which would import torch's exporter in every process.
    """
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
        def _split_scope(self, nodeid: str) -> str:
            file = super()._split_scope(nodeid)
            return next((start for start in TOGETHER if file.startswith(start)), file)

    return Scheduling(config, log)
