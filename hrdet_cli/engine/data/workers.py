"""Worker processes that make batches, and their end, however it comes."""

import gc
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from hrdet_cli.engine.data.shortages import lack_of_open_files, lack_of_processes, shortage_of
from hrdet_cli.engine.data.step_layout import BatchRequest
from hrdet_cli.engine.data.unpadded_batch import UnpaddedBatch
from hrdet_cli.engine.data.worker_memory import lack_of_shared_memory, require_shared_memory
from hrdet_cli.engine.distributed.worker import die_with
from hrdet_cli.errors import HrdetError, LostProcessError

NUM_BATCHES_AHEAD = 2
"""That each worker makes before they are asked for."""

_QUEUE_BYTES = 1 << 16  # a worker's locks and events lie in shared memory, each on a page of its own
_CANNOT_SEND, _CANNOT_OPEN, _CANNOT_START_THREAD = 75, 76, 77  # exit codes
_FEWER = "take fewer data workers: --set data.num_workers=0 has none"
_SECONDS_TO_END = 3.0


class BatchWorkers:
    """Worker processes that make batches on request; in this process when their number is 0.

    Args:
        batches: Gives a batch, or the error in its place, for a request.
        num_workers: Worker processes, which start with the first pass.
        pin_memory: Whether batches come in page-locked memory.
    """

    def __init__(
        self, batches: Dataset[UnpaddedBatch | HrdetError], *, num_workers: int, pin_memory: bool
    ) -> None:
        self._batches = batches
        self._num_workers = num_workers
        self._pin_memory = pin_memory
        self._requests: list[BatchRequest] = []
        self._loader: DataLoader[UnpaddedBatch | HrdetError] | None = None
        self._processes: list[BaseProcess] = []
        self._pass: Generator[UnpaddedBatch] | None = None

    def make(self, requests: Sequence[BatchRequest]) -> Iterator[UnpaddedBatch]:
        """The batches requested, in order.  Workers serve one pass at a time: an unfinished one ends.

        The memory of a batch is used again once the next one is asked for.

        Raises:
            HrdetError: Of a batch; while iterating.
            LostProcessError: A worker died; while iterating.
            OutOfMemoryError: There is too little shared memory, or too few open files, processes or threads
                are allowed; while iterating.
        """
        self._end_pass()
        self._requests[:] = requests
        self._pass = self._run()
        return self._pass

    def close(self) -> None:
        """Stop the workers; they would start again with the next pass.

        One that does not end, as when it hangs in a disk that does not answer, is killed.
        """
        self._end_pass()
        killer = threading.Timer(_SECONDS_TO_END, self._kill)
        try:
            killer.start()
        except RuntimeError:  # no thread is to be had
            self._kill()
        self._loader = None  # torch tells the workers to end, and waits until they have
        killer.cancel()
        self._kill()  # those of a loader that the traceback of an error keeps
        for process in self._processes:
            process.join()
        self._processes.clear()

    def _kill(self) -> None:
        for process in self._processes:
            process.kill()

    def _run(self) -> Generator[UnpaddedBatch]:
        try:
            for item in self._start_pass():  # no local name for it: a traceback would keep the workers alive
                if isinstance(item, HrdetError):
                    raise item
                yield item
        except (RuntimeError, OSError, EOFError) as error:  # as torch noticed it, or a pipe that was cut
            raise self._why(error) from error

    def _why(self, error: Exception) -> HrdetError:
        """What became of the workers; raises the error itself where they are in order."""
        shortage = shortage_of(error, remedy=_FEWER) if self._num_workers > 0 else None
        if shortage is not None:
            return shortage
        exit_codes = self._exit_codes()
        if not exit_codes:
            raise error
        return _death_of_worker(exit_codes)

    def _start_pass(self) -> Iterator[UnpaddedBatch | HrdetError]:
        with warnings.catch_warnings():
            # Presets are made for machines with many cores; more workers than cores only take turns. torch
            # warns where a loader is made, and again where its workers start.
            warnings.filterwarnings("ignore", "This DataLoader will create .* worker processes")
            if self._loader is None:
                require_shared_memory(self._num_workers * _QUEUE_BYTES)
                _settle_temporary_folder()
                self._loader = self._start()
            with deaths_noticed_when_waiting(), started_all_or_none(self._processes):
                return iter(self._loader)

    def _start(self) -> "DataLoader[UnpaddedBatch | HrdetError]":
        return DataLoader(
            self._batches,
            batch_size=None,  # batches come whole from the dataset
            sampler=self._requests,
            num_workers=self._num_workers,
            prefetch_factor=NUM_BATCHES_AHEAD if self._num_workers > 0 else None,
            persistent_workers=self._num_workers > 0,
            pin_memory=self._pin_memory,
            worker_init_fn=partial(_start_worker, os.getpid()),
            generator=torch.Generator(),  # torch seeds its workers from it, not from the global one
        )

    def _exit_codes(self) -> list[int]:
        """Of the workers that are gone, or end in this moment."""
        sentinels = [process.sentinel for process in self._processes]
        if sentinels and multiprocessing.connection.wait(sentinels, _SECONDS_TO_END):
            for process in self._processes:
                process.join(_SECONDS_TO_END / len(sentinels))  # its end can be seen before its exit code
        return [process.exitcode for process in self._processes if process.exitcode is not None]

    def _end_pass(self) -> None:
        if self._pass is not None:
            self._pass.close()
            self._pass = None


def _death_of_worker(exit_codes: Sequence[int]) -> HrdetError:
    """Why workers are gone, in a line."""
    if _CANNOT_SEND in exit_codes:
        return lack_of_shared_memory()
    if _CANNOT_OPEN in exit_codes:
        return lack_of_open_files(_FEWER)
    if _CANNOT_START_THREAD in exit_codes:
        return lack_of_processes(_FEWER)
    ends = ", ".join(map(_describe_end, exit_codes))
    return LostProcessError(
        f"a data worker ended ({ends}); where its memory ran out, fewer workers need less: "
        "--set data.num_workers=0 has none"
    )


def _describe_end(exit_code: int) -> str:
    return f"exit code {exit_code}" if exit_code >= 0 else signal.Signals(-exit_code).name


@contextmanager
def deaths_noticed_when_waiting() -> Iterator[None]:
    """Leave the handler of SIGCHLD as it is while a loader starts its workers.

    torch's own would raise an error wherever this process happens to be when a worker dies. Without it, the
    death is noticed where the worker's batch is waited for.
    """
    if threading.current_thread() is not threading.main_thread():  # torch sets none then
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, before)


@contextmanager
def started_all_or_none(processes: list[BaseProcess]) -> Iterator[None]:
    """Note the processes that a loader starts inside; where it cannot start all, none stays.

    Args:
        processes: Those started are added.

    Raises:
        OSError | RuntimeError: As the loader raised it.
    """
    others = multiprocessing.active_children()
    try:
        yield
    except (OSError, RuntimeError) as error:
        for process in multiprocessing.active_children():
            if process not in others:
                process.kill()
                process.join()
        _forget_half_started(error)
        raise
    processes += [process for process in multiprocessing.active_children() if process not in others]


def _forget_half_started(error: BaseException) -> None:
    """Keep torch from shutting down what it has not finished to make, which would fail with a traceback."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        loader = frame.f_locals.get("self")
        if isinstance(loader, _BaseDataLoaderIter):
            loader._shutdown = True  # type: ignore[attr-defined]  # there is no public way


def _settle_temporary_folder() -> None:
    """Choose the folder in which workers make their sockets.

    They would choose it by writing into some, and call it a lack of folders where they may open no file.
    """
    with Path(os.devnull).open(), Path(os.devnull).open():
        pass
    tempfile.gettempdir()


def _start_worker(parent_pid: int, _worker: int) -> None:
    """Leave signals to the parent, and its memory alone; end with it, or when a batch cannot be sent.

    A terminal's Ctrl-C and a scheduler's signals reach workers too; the parent needs them for its step. A
    search for cycles writes into every object, also into those that a worker shares with its parent until one
    of them writes: it would copy 85 MB in each worker.
    """
    die_with(parent_pid)
    for number in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"):
        signal.signal(getattr(signal, number), signal.SIG_IGN)
    Queue._on_queue_feeder_error = staticmethod(_end_without_sending)  # type: ignore[attr-defined]
    gc.freeze()
    try:
        threading.Thread(target=gc.get_count).start()  # it will need some
    except RuntimeError:
        os._exit(_CANNOT_START_THREAD)


def _end_without_sending(error: BaseException, _batch: object) -> None:
    """End a worker whose batch did not fit into shared memory; Python would forget the batch and go on."""
    shortage = shortage_of(error)
    if shortage is not None:
        os._exit(_CANNOT_OPEN if str(shortage) == str(lack_of_open_files()) else _CANNOT_START_THREAD)
    print(f"a data worker cannot send its batch: {error}", file=sys.stderr, flush=True)  # noqa: T201
    os._exit(_CANNOT_SEND)
