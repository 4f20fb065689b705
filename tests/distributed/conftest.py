"""Fixtures of tests that start several processes."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.distributed.hosts import Hosts, can_make_hosts
from tests.distributed.runs_on_hosts import settings
from tests.forked import ForkedHrdet


@pytest.fixture
def hosts() -> Iterator[Callable[[int], Hosts]]:
    """Makes hosts: ``first, second = hosts(2)``.  They are gone, with all their processes, after the test."""
    if reason := can_make_hosts():
        pytest.skip(reason)
    with ExitStack() as stack:
        yield lambda num_hosts: stack.enter_context(Hosts(num_hosts))


@pytest.fixture(scope="session")
def one_process_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of the small experiment in one process, with the two pictures a step of two hosts."""
    folder = tmp_path_factory.mktemp("one-process")
    process = ForkedHrdet("train", *settings(batch_size=2), "--run-dir", "run", folder=folder)
    assert process.wait() == 0, process.communicate()
    return folder / "run"
