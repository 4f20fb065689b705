"""Folders of launches, which are gone when their launcher is: at the latest when the next one begins.

A launcher holds a lock on its folder as long as it lives.  One that is killed cannot remove its folder; but
its lock goes with it, and the next launch of the same user removes folders without one.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

PREFIX = "hrdet-launch-"


@contextmanager
def made_launch_folder() -> Iterator[Path]:
    """Make a folder for a launch among the temporary files, and remove what killed launches left there."""
    _remove_abandoned(Path(tempfile.gettempdir()))
    path, lock = _make_locked()
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def _make_locked() -> tuple[Path, int]:
    """A new folder and the descriptor that locks it; again, where another launch found it before the lock."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = os.open(path, os.O_RDONLY)
        if sys.platform != "win32":
            with suppress(OSError):  # a file system without locks: then nobody removes it before us
                fcntl.flock(lock, fcntl.LOCK_EX)
        if path.is_dir():
            return path, lock
        os.close(lock)


def _remove_abandoned(parent: Path) -> None:
    for path in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another user's, or gone meanwhile
            if not path.is_symlink() and path.stat().st_uid == os.getuid():
                _remove_if_abandoned(path)


def _remove_if_abandoned(path: Path) -> None:
    """Remove a folder that nobody has locked.

    Raises:
        OSError: It is locked, or cannot be.
    """
    lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if sys.platform != "win32":
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
