"""One process at a time writes into a run folder."""

import fcntl
import json
import os
import platform
import shlex
import sys
from contextlib import suppress
from datetime import UTC, datetime
from errno import EACCES, EAGAIN
from pathlib import Path
from typing import Self

from hrdet_cli.errors import OutputError

LOCK_FILE = "run.lock"
_MAX_SIGNATURE_BYTES = 1 << 16


def holder_of(folder: Path) -> str | None:
    """Which other process has the lock of a run folder, in words; None where none has.

    Leaves the lock as it is, but for one of this very process, which would be released.
    """
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        os.lockf(descriptor, os.F_TEST, 0)
    except OSError as error:
        return _describe_holder(descriptor) if error.errno in (EACCES, EAGAIN) else None
    finally:
        os.close(descriptor)
    return None


class RunLock:
    """A lock on a run folder that dies with its process, however that ends; a context manager.

    It is a POSIX lock: the kernel releases it, children do not inherit it, and file systems that several
    machines share keep it for all of them, where they keep locks at all.

    Args:
        folder: The run folder.

    Attributes:
        is_kept: Whether the folder's file system keeps locks; known once the lock was taken.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / LOCK_FILE
        self._descriptor: int | None = None
        self.is_kept = True

    def take(self) -> None:
        """Take the lock, unless it was taken already; makes the folder.

        Raises:
            OutputError: Another process has it, or the folder cannot be made or written to.
        """
        while self._descriptor is None:
            descriptor = self._open()
            try:
                self._lock(descriptor)
                is_current = self._is_current(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
            if is_current:
                self._descriptor = descriptor
                self._sign(descriptor)
            else:  # its holder removed the file as it ended
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Release the lock and leave no file behind."""
        if self._descriptor is None:
            return
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None

    def _open(self) -> int:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            return os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise OutputError(f"{self._file}: cannot be written: {error.strerror}") from error

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (EACCES, EAGAIN):
                raise OutputError(
                    f"{self._folder}: is in use by {_describe_holder(descriptor)}; wait for it or stop it, "
                    "or choose another --run-dir"
                ) from error
            self.is_kept = False

    def _is_current(self, descriptor: int) -> bool:
        """Whether the file is still the one that others would open."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._file.stat())
        except OSError:
            return False

    def _sign(self, descriptor: int) -> None:
        holder = {
            "host": platform.node(),
            "process_id": os.getpid(),
            "since": datetime.now(UTC).isoformat(sep=" ", timespec="seconds"),
            "command": shlex.join(["hrdet", *sys.argv[1:]]),
        }
        with suppress(OSError):  # a full disk: the lock holds without a signature
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)


def _describe_holder(descriptor: int) -> str:
    """Who signed the file, in words."""
    try:
        holder = json.loads(os.pread(descriptor, _MAX_SIGNATURE_BYTES, 0))
        return (
            f"process {holder['process_id']} on {holder['host']} since {holder['since']} "
            f"({holder['command']:.200})"
        )
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
