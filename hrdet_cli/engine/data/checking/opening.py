"""Opens every picture of a data set, in several processes, to find those that training could not use."""

import gc
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from torch.utils.data import DataLoader, Dataset

from hrdet_cli.engine.data.checking.problems import (
    DAMAGED_PIXELS,
    UNREADABLE_PICTURE,
    WRONG_SIZE,
    ProblemKind,
)
from hrdet_cli.engine.data.decoding import WrongSizeError, decode_picture
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.shortages import shortage_of
from hrdet_cli.engine.data.workers import deaths_noticed_when_waiting, started_all_or_none
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError, HrdetError, LostProcessError

_PICTURES_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class NamedSize:
    """A picture and the size its annotations give."""

    name: str
    size: Size


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a picture cannot be used, or only with damage.

    Attributes:
        position: Of the picture in the sequence that was opened.
        kind: ``UNREADABLE_PICTURE``, ``WRONG_SIZE`` or ``DAMAGED_PIXELS``.
        what: What is wrong, and what to do.
    """

    position: int
    kind: ProblemKind
    what: str


@dataclass(frozen=True, slots=True)
class Opened:
    """Some more pictures were opened, in the given order.

    Attributes:
        num_done: How many in total.
        faults: Of those that are new.
    """

    num_done: int
    faults: Sequence[Fault]


def open_all(images: ImageSource, pictures: Sequence[NamedSize], *, num_workers: int) -> Iterator[Opened]:
    """Decode every picture as training does.

    Processes rather than threads: of Pillow's decoding, a quarter of the time holds Python's lock, so that
    threads would gain nothing beyond four cores.

    Args:
        images: Where they are.
        pictures: Their names and sizes.
        num_workers: Processes that open them; 0 opens them in this one.

    Raises:
        LostProcessError: One of the processes died.
        OutOfMemoryError: They may not be started, or open no more files.
    """
    chunks = _Chunks(images, pictures)
    loader: DataLoader[list[Fault] | HrdetError] = DataLoader(
        chunks,
        batch_size=None,
        num_workers=min(num_workers, len(chunks)),
        worker_init_fn=_leave_memory_shared,
    )
    num_done = 0
    try:
        with _interrupts_held_back(), deaths_noticed_when_waiting(), started_all_or_none([]):
            faults_by_chunk = iter(loader)
        for faults in faults_by_chunk:
            if isinstance(faults, HrdetError):
                raise faults
            num_done = min(num_done + _PICTURES_AT_ONCE, len(pictures))
            yield Opened(num_done, faults)
    except (RuntimeError, OSError) as error:  # the first is torch's word for a worker that died
        shortage = shortage_of(error, remedy="open fewer at once with --workers")
        if shortage is not None:
            raise shortage from error
        raise LostProcessError(
            f"a process that opens pictures died after {num_done} of {len(pictures)}, perhaps for want of "
            "memory; try fewer with --workers"
        ) from error


class _Chunks(Dataset["list[Fault] | HrdetError"]):
    """The faults among a few consecutive pictures; an error is returned, as torch would bury its message."""

    def __init__(self, images: ImageSource, pictures: Sequence[NamedSize]) -> None:
        self._images = images
        self._pictures = pictures

    def __len__(self) -> int:
        return -(-len(self._pictures) // _PICTURES_AT_ONCE)

    def __getitem__(self, chunk: int) -> list[Fault] | HrdetError:
        try:
            return self._faults_of(chunk)
        except HrdetError as error:
            return error

    def _faults_of(self, chunk: int) -> list[Fault]:
        first = chunk * _PICTURES_AT_ONCE
        faults = []
        for position, picture in enumerate(self._pictures[first : first + _PICTURES_AT_ONCE], start=first):
            try:
                data = self._images.read(picture.name)
                damage = decode_picture(data, expected=picture.size, name=picture.name).damage
            except DataError as error:
                kind = WRONG_SIZE if isinstance(error, WrongSizeError) else UNREADABLE_PICTURE
                what = str(error).removeprefix(f"picture {picture.name} ").removesuffix(".")
                faults.append(Fault(position, kind, what))
            else:
                if damage is not None:
                    faults.append(Fault(position, DAMAGED_PIXELS, damage))
        return faults


def _leave_memory_shared(_worker: int) -> None:
    """Looking for garbage would copy the whole annotation file, which was in memory at the fork."""
    gc.freeze()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Processes started inside are deaf to Ctrl-C, which is for this one to obey; it gets it afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
