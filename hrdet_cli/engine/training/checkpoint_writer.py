"""Checkpoints that are written while training goes on."""

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from hrdet_cli.engine.training.checkpoint import copy_checkpoint, save_checkpoint
from hrdet_cli.engine.training.host_copy import copy_to_host


@dataclass(frozen=True, slots=True)
class WrittenCheckpoint:
    """What a checkpoint took.

    Attributes:
        seconds: Until it was on the disk, under its first name.
        num_bytes: Of its file.
    """

    seconds: float
    num_bytes: int


class CheckpointWriter:
    """Writes one checkpoint at a time; a context manager, which ends when all is on disk.

    A checkpoint that could not be written ends the run: whoever calls the writer next meets its error.

    Attributes:
        slowest: What the checkpoint took that took longest; None before one is on disk.
    """

    def __init__(self) -> None:
        self.slowest: WrittenCheckpoint | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="checkpoint")
        self._under_way: Future[WrittenCheckpoint] | None = None

    def write(self, paths: Sequence[Path], state: Mapping[str, Any]) -> None:
        """Write a checkpoint into one or more files, after the one under way; errors as `save_checkpoint`."""
        self.finish()
        first, *others = paths
        self._note(_save(first, state))
        for path in others:
            copy_checkpoint(first, path)

    def begin(self, path: Path, state: Mapping[str, Any]) -> None:
        """Copy a state and write the copy in a thread: the state may change from now on.

        Raises:
            OutputError: The checkpoint before could not be written.
        """
        self.finish()
        self._under_way = self._thread.submit(_save, path, copy_to_host(state))

    def check(self) -> None:
        """Meet the error of a checkpoint that was under way, without waiting for one that still is.

        Raises:
            OutputError: It could not be written.
        """
        if self._under_way is not None and self._under_way.done():
            self.finish()

    def finish(self) -> None:
        """Wait until nothing is under way.

        Raises:
            OutputError: What was under way could not be written.
        """
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            self._note(under_way.result())

    def _note(self, written: WrittenCheckpoint) -> None:
        if self.slowest is None or written.seconds > self.slowest.seconds:
            self.slowest = written

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self._thread.shutdown()


def _save(path: Path, state: Mapping[str, Any]) -> WrittenCheckpoint:
    started = time.perf_counter()
    save_checkpoint(path, state)
    return WrittenCheckpoint(time.perf_counter() - started, path.stat().st_size)
