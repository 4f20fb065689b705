"""What takes long to make, made once for all processes that run tests side by side."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first process to ask for it fills, while others that ask wait.

    Args:
        tmp_path_factory: Says where; pytest-xdist gives each process a folder in that of the session.
        name: Of the folder; another for each purpose.
        make: Fills it. Nobody changes anything in it afterwards.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, marker = base / name, base / f"{name}.made"
    with marker.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not marker.read_text():
            shutil.rmtree(folder, ignore_errors=True)  # what a test that failed has left
            folder.mkdir()
            make(folder)
            marker.write_text("made")
    return folder
