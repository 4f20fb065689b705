"""Files from the net: from the cache, or the first address that has them, whole or not at all."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hrdet_cli.activity import doing, remark
from hrdet_cli.engine.weights.fetching.cache import OFFLINE, CachedFile, is_offline, mirror_address
from hrdet_cli.engine.weights.fetching.transfer import TransferError, WritingError, fetch
from hrdet_cli.errors import WeightsError

_TIMEOUT_SECONDS = 20
_START_BYTES = 1024


def download(
    source: str,
    addresses: Sequence[str],
    *,
    accepts: Callable[[bytes], bool],
    timeout_seconds: float = _TIMEOUT_SECONDS,
) -> Path:
    """Fetch a file, unless the cache has it.

    The user's mirror is asked first, then the addresses in their order. What comes gets its name in the cache
    once its SHA-256 is what the name says, where it says one. What came before a connection broke off stays
    there as ``.partial`` and is gone on with, by the next address too, if a SHA-256 will tell that all is of
    one file. Processes that want the same file fetch it once.

    Args:
        source: What was asked for, to be named in messages.
        addresses: ``https://`` or ``http://``; files of different names are the same weights.
        accepts: Whether what starts with certain bytes may come into the cache, so that no page that says
            "log in" stays there.
        timeout_seconds: How long the other side may be silent.

    Returns:
        The file in the cache.

    Raises:
        WeightsError: It could not be fetched or written, or what the cache has is another file.
    """
    files = {address: CachedFile.of(address) for address in addresses}
    for file in files.values():
        if file.path.is_file():
            _require_sound(file)
            return file.path
    first = files[addresses[0]]
    if is_offline():
        raise WeightsError(
            f"{source}: {OFFLINE} is set, and the file is not in the cache. Put what is at {addresses[0]} to "
            f"{first.path}, or unset {OFFLINE}."
        )
    faults, places = dict[str, str](), [*_places(files)]
    for url, file in places:
        try:
            return _fetch_once(url, file, accepts, timeout_seconds)
        except (WritingError, OSError) as error:
            raise WeightsError(_describe_cache(source, file, error)) from error
        except TransferError as error:
            faults[url] = str(error) or type(error).__name__
            if len(faults) < len(places):
                remark(f"{url}: could not be fetched ({faults[url]}); trying the next address")
    raise WeightsError(_describe(source, faults, first.path))


def _places(files: dict[str, CachedFile]) -> Iterator[tuple[str, CachedFile]]:
    """Where to ask, in this order, and for what."""
    for file in dict.fromkeys(files.values()):
        if (mirror := mirror_address(file)) is not None:
            yield mirror, file
    yield from files.items()


def _describe(source: str, faults: dict[str, str], path: Path) -> str:
    if len(faults) == 1:
        url, fault = next(iter(faults.items()))
        name = source if source == url else f"{source}: {url}"
        return (
            f"{name}: could not be fetched ({fault}). Check the address and the connection, or fetch the "
            "file by other means and give its path."
        )
    lines = [f"  {url}: {fault}" for url, fault in faults.items()]
    return "\n".join(
        [
            f"{source}: could not be fetched from any address:",
            *lines,
            f"Check the connection, or fetch the file by other means and give its path, or put it to {path}.",
        ]
    )


def _describe_cache(source: str, file: CachedFile, error: WritingError | OSError) -> str:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return (
        f"{source}: the cache {file.path.parent} cannot be written to ({reason}). Make room there, set "
        "TORCH_HOME to another folder, or fetch the file by other means and give its path."
    )


def _require_sound(file: CachedFile) -> None:
    if (fault := file.why_not(file.path)) is not None:
        raise WeightsError(
            f"{file.path}: {fault}: it is damaged, or another file. Remove it, and it is fetched again."
        )


def _fetch_once(url: str, file: CachedFile, accepts: Callable[[bytes], bool], timeout_seconds: float) -> Path:
    """Fetch a file while no other process does; what another has fetched meanwhile is taken."""
    file.path.parent.mkdir(parents=True, exist_ok=True)
    partial = file.path.with_name(f"{file.path.name}.partial")
    with _alone_with(partial) as opened:
        try:
            if file.path.is_file():
                opened.truncate(0)
                return file.path
            if file.sha256_start is None:
                opened.truncate(0)  # nothing would tell that its parts are of one file
            _fill(url, file, partial, opened, accepts, timeout_seconds)
            partial.replace(file.path)
            return file.path
        finally:
            is_worth_keeping = file.sha256_start is not None and os.fstat(opened.fileno()).st_size > 0
            if not is_worth_keeping:
                partial.unlink(missing_ok=True)


def _fill(
    url: str,
    file: CachedFile,
    partial: Path,
    opened: BinaryIO,
    accepts: Callable[[bytes], bool],
    timeout_seconds: float,
) -> None:
    """Make the partial file the whole one.

    Raises:
        TransferError: It could not be had.
        WritingError: It could not be written.
    """
    goes_on = os.fstat(opened.fileno()).st_size > 0
    fetch(url, opened, what=file.path.name, timeout_seconds=timeout_seconds)
    opened.flush()
    opened.seek(0)
    fault = None if accepts(opened.read(_START_BYTES)) else "what came is no weights file"
    fault = fault or file.why_not(partial)
    if fault is None:
        return
    opened.truncate(0)
    if not goes_on:
        raise TransferError(fault)
    _fill(url, file, partial, opened, accepts, timeout_seconds)  # its beginning was of another file


@contextmanager
def _alone_with(path: Path) -> Iterator[BinaryIO]:
    """Open a file, and make one if there is none, while no other process has it so."""
    while True:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as opened:
            _lock(opened, path)
            if not _is_still(opened, path):
                continue  # whoever had it before finished it, or gave it up
            yield opened
            return


def _lock(opened: BinaryIO, path: Path) -> None:
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with doing(f"waiting for another process that fetches {path.stem}"):
            fcntl.flock(opened, fcntl.LOCK_EX)


def _is_still(opened: BinaryIO, path: Path) -> bool:
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(opened.fileno()), found)
