"""Sizes of pictures that no annotations give, read from headers in their files."""

import os
import stat
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from hrdet_cli.engine.data.pillow_limits import unlimited_pillow
from hrdet_cli.engine.data.true_sizes import true_sizes_of
from hrdet_cli.engine.geometry import Size
from hrdet_cli.file_kinds import NUM_BYTES_NEEDED, kind_of_file, why_no_file

_NUM_THREADS = 8
"""They wait for disks: over a network, each picture takes a millisecond or more."""
_AT_ONCE = 64
"""Handing one picture over to a thread takes as long as to read its header."""


def read_sizes(paths: Sequence[str]) -> list[Size | str]:
    """The size of each picture as people see it, turned as EXIF says; a text that says why there is none.

    Labels are drawn on pictures as people see them, and training decodes them to that size.
    """
    chunks = [paths[start : start + _AT_ONCE] for start in range(0, len(paths), _AT_ONCE)]
    with unlimited_pillow(), ThreadPoolExecutor(_NUM_THREADS) as threads:
        return [size for sizes in threads.map(_sizes_of, chunks) for size in sizes]


def _sizes_of(paths: Sequence[str]) -> list[Size | str]:
    return list(map(_size_of, paths))


def _size_of(path: str) -> Size | str:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - paths of pathlib take as long as the rest
            return why_no_file(Path(path)) or "is no file"  # a pipe would be waited for
        with Image.open(path) as image:
            return true_sizes_of(image).turned
    except UnidentifiedImageError:
        with Path(path).open("rb") as file:
            kind = kind_of_file(file.read(NUM_BYTES_NEEDED))
        return "is no picture of a known format" if kind is None else f"is {kind.name}"
    except OSError as error:
        return why_no_file(Path(path)) or f"cannot be read: {error.strerror or error}"
    except Exception:  # decoders meet hostile bytes: there is no list of what they raise
        return "has a header that is damaged"
