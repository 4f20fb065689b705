"""Files that commands write: whole or not at all, and with one clear error where they cannot be."""

import io
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image

from hrdet_cli.errors import OutputError
from hrdet_cli.specs.base import MAX_NAME_BYTES


def write_json(path: Path, value: Any) -> None:
    """Write a document whole or not at all; makes the folder it goes into.

    Raises:
        OutputError: It cannot be written.
    """
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)  # which indents in Python, slowly
    write_bytes(path, msgspec.json.format(_utf8_of(text), indent=2) + b"\n")


def write_text(path: Path, text: str) -> None:
    """Write a text whole or not at all; makes the folder it goes into.

    Bytes of a file's name that are no text, which Python keeps as lone surrogates, become question marks.

    Raises:
        OutputError: It cannot be written.
    """
    write_bytes(path, _utf8_of(text))


def _utf8_of(text: str) -> bytes:
    return text.encode("utf-8", errors="replace")


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; makes the folder it goes into.

    Raises:
        OutputError: It cannot be written; nothing of it is left behind.
    """
    temporary = _temporary(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """What a file is called until it is whole, within what file systems take."""
    ending = ".tmp"
    name = os.fsencode(path.name)[: MAX_NAME_BYTES - len(ending)]
    return path.with_name(os.fsdecode(name) + ending)


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture as PNG or JPEG, as its name ends, whole or not at all; makes the folder it goes into.

    Raises:
        OutputError: It cannot be written.
    """
    encoded = io.BytesIO()
    kind = "PNG" if path.suffix.lower() == ".png" else "JPEG"
    try:
        # Of JPEG, where colours of letters would blur; of PNG, whose usual level takes twice as long for a
        # tenth of the size.
        picture.save(encoded, kind, quality=90, subsampling=0, compress_level=2)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written as {kind}: {error}") from error
    write_bytes(path, encoded.getvalue())


def refuse_unwritable_file(file: Path, *, option: str) -> None:
    """Find out before the work what would hinder a file from being written at its end; makes nothing.

    Args:
        file: It may be there, and then is to be replaced; its folder may be missing.
        option: That named it, for the error.

    Raises:
        OutputError: It cannot be written.
    """
    with _refusal_of(file, option):
        if file.is_dir():
            raise OutputError(f"{file}: is a folder; give {option} the name of a file")
        if file.exists() and not file.is_file():  # such as /dev/null, whose place a file would take
            raise OutputError(f"{file}: is no ordinary file; give {option} the name of one")
        _try_out(file.absolute().parent)


def refuse_unwritable_folder(folder: Path, *, option: str) -> None:
    """Find out before the work what would hinder files from being written into a folder; makes nothing.

    Args:
        folder: It may be missing, and its parents too.
        option: That named it, for the error.

    Raises:
        OutputError: It cannot be made, or written to.
    """
    with _refusal_of(folder, option):
        _try_out(folder.absolute())


@contextmanager
def _refusal_of(path: Path, option: str) -> Iterator[None]:
    try:
        with suppress(FileNotFoundError):
            Path(f"{path}.tmp").lstat()  # which a name may be too long for
        yield
    except OSError as error:
        raise OutputError(
            f"{path}: cannot be written to: {error.strerror}; choose another {option}"
        ) from error


def _try_out(folder: Path) -> None:
    """Make a file without a name in a folder, or in the nearest above it that is there."""
    existing = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    with tempfile.TemporaryFile(dir=existing):
        pass
