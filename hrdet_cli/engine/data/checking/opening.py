"""Opens every picture of a data set, in several processes, to find those that training could not use."""

import gc
import io
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import ExifTags, Image
from torch.utils.data import DataLoader, Dataset

from hrdet_cli.engine.data.bomb_warnings import bomb_warnings_ignored
from hrdet_cli.engine.data.decoding import WrongSizeError, decode_picture
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.shortages import shortage_of
from hrdet_cli.engine.data.workers import deaths_noticed_when_waiting, started_all_or_none
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError, HrdetError, LostProcessError

_PICTURES_AT_ONCE = 16
_FIRST_ON_ITS_SIDE = 5  # of EXIF's orientations


@dataclass(frozen=True, slots=True)
class NamedSize:
    """A picture and the size its annotations give; None where they give none."""

    name: str
    size: Size | None


@dataclass(frozen=True, slots=True)
class TrueSizes:
    """Sizes that a picture may be said to have.

    Attributes:
        stored: As its pixels are stored.
        turned: As EXIF's orientation turns it.
    """

    stored: Size
    turned: Size

    @property
    def both(self) -> tuple[Size, Size]:
        """Turned, as people see it, and stored."""
        return self.turned, self.stored


@dataclass(frozen=True, slots=True)
class Finding:
    """What there is to say of a picture.

    Attributes:
        position: Of the picture in the sequence that was opened.
        fault: Why it cannot be read; None where it can.
        true_sizes: Its sizes, where it can be read and its annotations give none or another.
        damage: What is damaged in a picture that can be read all the same.
    """

    position: int
    fault: str | None = None
    true_sizes: TrueSizes | None = None
    damage: str | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """Some more pictures were opened, in the given order.

    Attributes:
        num_done: How many in total.
        findings: Of those that are new.
    """

    num_done: int
    findings: Sequence[Finding]


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
    loader: DataLoader[list[Finding] | HrdetError] = DataLoader(
        chunks,
        batch_size=None,
        num_workers=min(num_workers, len(chunks)),
        worker_init_fn=_leave_memory_shared,
    )
    num_done = 0
    try:
        with _interrupts_held_back(), deaths_noticed_when_waiting(), started_all_or_none([]):
            findings_by_chunk = iter(loader)
        for findings in findings_by_chunk:
            if isinstance(findings, HrdetError):
                raise findings
            num_done = min(num_done + _PICTURES_AT_ONCE, len(pictures))
            yield Opened(num_done, findings)
    except (RuntimeError, OSError) as error:  # the first is torch's word for a worker that died
        shortage = shortage_of(error, remedy="open fewer at once with --workers")
        if shortage is not None:
            raise shortage from error
        raise LostProcessError(
            f"a process that opens pictures died after {num_done} of {len(pictures)}, perhaps for want of "
            "memory; try fewer with --workers"
        ) from error


class _Chunks(Dataset["list[Finding] | HrdetError"]):
    """What there is to say of a few consecutive pictures; an error is returned, for torch would bury it."""

    def __init__(self, images: ImageSource, pictures: Sequence[NamedSize]) -> None:
        self._images = images
        self._pictures = pictures

    def __len__(self) -> int:
        return -(-len(self._pictures) // _PICTURES_AT_ONCE)

    def __getitem__(self, chunk: int) -> list[Finding] | HrdetError:
        try:
            return self._findings_of(chunk)
        except HrdetError as error:
            return error

    def _findings_of(self, chunk: int) -> list[Finding]:
        first = chunk * _PICTURES_AT_ONCE
        findings = []
        for position, picture in enumerate(self._pictures[first : first + _PICTURES_AT_ONCE], start=first):
            try:
                finding = _open(self._images.read(picture.name), picture, position)
            except DataError as error:
                what = str(error).removeprefix(f"picture {picture.name} ").removesuffix(".")
                finding = Finding(position, fault=what)
            if finding != Finding(position):
                findings.append(finding)
        return findings


def _open(data: bytes, picture: NamedSize, position: int) -> Finding:
    """Decode a picture.

    Raises:
        DataError: It cannot be read, whatever its size.
    """
    has_size = picture.size is not None
    try:
        damage = decode_picture(data, expected=picture.size, name=picture.name).damage
    except WrongSizeError:
        has_size = False
        damage = decode_picture(data, expected=None, name=picture.name).damage
    return Finding(position, true_sizes=None if has_size else _true_sizes(data), damage=damage)


def _true_sizes(data: bytes) -> TrueSizes:
    with bomb_warnings_ignored(), Image.open(io.BytesIO(data)) as image:
        stored = Size(image.height, image.width)
        is_on_its_side = image.getexif().get(ExifTags.Base.Orientation, 1) >= _FIRST_ON_ITS_SIDE
    return TrueSizes(stored, Size(stored.width, stored.height) if is_on_its_side else stored)


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
