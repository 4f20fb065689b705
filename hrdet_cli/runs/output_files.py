"""Files that commands write: whole or not at all, and with one clear error where they cannot be."""

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from PIL import Image

from hrdet_cli.errors import OutputError


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
    temporary = path.with_name(f"{path.name}.tmp")
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


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture as PNG or JPEG, as its name ends; makes the folder it goes into.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Of JPEG, where colours of letters would blur; of PNG, whose usual level takes twice as long for a
        # tenth of the size.
        picture.save(path, quality=90, subsampling=0, compress_level=2)
    except OSError as error:
        raise OutputError(f"{path}: cannot write the picture: {error.strerror or error}") from error


def make_folder(path: Path) -> Path:
    """Make a folder and its parents where they are missing; returns it.

    Raises:
        OutputError: It cannot be made or written to.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / ".writable").touch()
        (path / ".writable").unlink()
    except OSError as error:
        raise OutputError(f"{path}: cannot be written to: {error.strerror}; choose another --out") from error
    return path
