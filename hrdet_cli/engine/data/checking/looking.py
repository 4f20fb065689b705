"""Looks at every item of a data set, in several processes."""

import gc
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from torch.utils.data import DataLoader, Dataset

from hrdet_cli.engine.data.shortages import shortage_of
from hrdet_cli.engine.data.workers import deaths_noticed_when_waiting, started_all_or_none
from hrdet_cli.engine.distributed.worker import die_with
from hrdet_cli.errors import DataError, HrdetError, LostProcessError

FindingT = TypeVar("FindingT")
_ITEMS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Looked(Generic[FindingT]):
    """Some more items were looked at, in their order.

    Attributes:
        num_done: How many in total.
        findings: Of those that are new, where there is something to say.
    """

    num_done: int
    findings: Sequence[FindingT]


def look_at_all(
    num_items: int, look: Callable[[int], FindingT | None], *, num_workers: int
) -> Iterator[Looked[FindingT]]:
    """Look at every item.

    Processes rather than threads: of Pillow's decoding, a quarter of the time holds Python's lock, so that
    threads would gain nothing beyond four cores.

    Args:
        num_items: How many.
        look: From the position of an item to what there is to say of it; None where it is in order.
        num_workers: Processes that look; 0 looks in this one.

    Raises:
        LostProcessError: One of the processes died.
        OutOfMemoryError: They may not be started, or open no more files.
    """
    chunks = _Chunks(num_items, look)
    loader: DataLoader[list[FindingT] | HrdetError] = DataLoader(
        chunks,
        batch_size=None,
        num_workers=min(num_workers, len(chunks)),
        worker_init_fn=partial(_start_looking, os.getpid()),
    )
    num_done = 0
    try:
        with _interrupts_held_back(), deaths_noticed_when_waiting(), started_all_or_none([]):
            findings_by_chunk = iter(loader)
        for findings in findings_by_chunk:
            if isinstance(findings, HrdetError):
                raise findings
            num_done = min(num_done + _ITEMS_AT_ONCE, num_items)
            yield Looked(num_done, findings)
    except (RuntimeError, OSError) as error:  # the first is torch's word for a worker that died
        shortage = shortage_of(error, remedy="open fewer at once with --workers")
        if shortage is not None:
            raise shortage from error
        raise LostProcessError(
            f"a process that opens pictures died after {num_done} of {num_items}, perhaps for want of "
            "memory; try fewer with --workers"
        ) from error


def without_name(error: DataError, name: str) -> str:
    """What an error says of the picture that is called so, to go behind a name."""
    return str(error).removeprefix(f"picture {name} ").removesuffix(".")


class _Chunks(Dataset["list[FindingT] | HrdetError"], Generic[FindingT]):
    """What there is to say of a few consecutive items; an error is returned, for torch would bury it."""

    def __init__(self, num_items: int, look: Callable[[int], FindingT | None]) -> None:
        self._num_items = num_items
        self._look = look

    def __len__(self) -> int:
        return -(-self._num_items // _ITEMS_AT_ONCE)

    def __getitem__(self, chunk: int) -> list[FindingT] | HrdetError:
        first = chunk * _ITEMS_AT_ONCE
        positions = range(first, min(first + _ITEMS_AT_ONCE, self._num_items))
        try:
            findings = [self._look(position) for position in positions]
        except HrdetError as error:
            return error
        return [finding for finding in findings if finding is not None]


def _start_looking(parent_pid: int, _worker: int) -> None:
    """End with the parent, and leave its memory shared.

    Looking for garbage would copy the whole annotation file, which was in memory at the fork.
    """
    die_with(parent_pid)
    gc.freeze()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Processes started inside are deaf to Ctrl-C, which is for this one to obey; it gets it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
