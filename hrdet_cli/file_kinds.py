"""What a file is, told by its first bytes, when it is not what was asked for. Every layer may use it.

People give the wrong file more often than a broken one: the pointer that Git LFS leaves where nobody fetched
the file, the web page of a login in place of a download, an archive that still has to be unpacked.
"""

import codecs
import errno
import stat
from pathlib import Path
from typing import NamedTuple

NUM_BYTES_NEEDED = 512
"""So many of a file's first bytes tell its kind."""


class FileKind(NamedTuple):
    """A kind of file.

    Attributes:
        name: What it is, to go behind "is": ``"a ZIP archive"``.
        remedy: What to do where something else was expected; one sentence, or empty where only the caller
            knows.
    """

    name: str
    remedy: str = ""


_UNPACK = "Unpack it, and give the file that was in it."
_EMPTY = FileKind("empty (0 bytes)", "Copy or download it again.")
_ZEROS = FileKind("nothing but zero bytes", "The copy or download was cut short: make it again.")
_PAGE = FileKind(
    "a web page (HTML)",
    "The download gave a page in place of the file, as for a login or a confirmation: look at it in a "
    "browser, and download the file itself.",
)
_LFS = FileKind(
    "a Git LFS pointer, not the file it stands for", "Fetch the file with: git lfs pull (in its repository)."
)

_KIND_BY_START: tuple[tuple[bytes, FileKind], ...] = (
    (b"version https://git-lfs", _LFS),
    (b"PK\x03\x04", FileKind("a ZIP archive", _UNPACK)),
    (b"PK\x05\x06", FileKind("an empty ZIP archive", _UNPACK)),
    (b"\x1f\x8b", FileKind("compressed with gzip", "Unpack it with gunzip, or tar -xzf if it is a tar.")),
    (b"BZh", FileKind("compressed with bzip2", "Unpack it with bunzip2, or tar -xjf if it is a tar.")),
    (b"\xfd7zXZ\x00", FileKind("compressed with xz", "Unpack it with unxz, or tar -xJf if it is a tar.")),
    (b"\x28\xb5\x2f\xfd", FileKind("compressed with Zstandard", "Unpack it with unzstd.")),
    (b"7z\xbc\xaf\x27\x1c", FileKind("a 7-Zip archive", _UNPACK)),
    (b"Rar!", FileKind("a RAR archive", _UNPACK)),
    (b"%PDF", FileKind("a PDF document")),
    (b"\xff\xd8\xff", FileKind("a JPEG picture")),
    (b"\x89PNG\r\n\x1a\n", FileKind("a PNG picture")),
    (b"GIF8", FileKind("a GIF picture")),
    (b"II*\x00", FileKind("a TIFF picture")),
    (b"MM\x00*", FileKind("a TIFF picture")),
    (b"\x89HDF\r\n\x1a\n", FileKind("an HDF5 file", "Convert it first.")),
    (b"\x93NUMPY", FileKind("a NumPy array")),
    (b"SQLite format 3\x00", FileKind("an SQLite database")),
    (b"\x80\x02", FileKind("a Python pickle")),
    (b"\x80\x03", FileKind("a Python pickle")),
    (b"\x80\x04", FileKind("a Python pickle")),
    (b"\x80\x05", FileKind("a Python pickle")),
    (b"\x7fELF", FileKind("a program")),
    (b"\x08\x01\x12", FileKind("a TensorFlow model", "Convert it first.")),
    *(
        (bytes((8, version, 0x12)), FileKind("an ONNX model", "Convert it first."))
        for version in range(3, 32)
    ),
    (b"GGUF", FileKind("a GGUF model", "Convert it first.")),
)
_TAR_PLACE, _TAR = slice(257, 262), FileKind("a tar archive", "Unpack it with tar -xf.")
_CONVERT = "Convert it to JPEG or PNG."
_HEIC = FileKind("a HEIC picture", _CONVERT)
_VIDEO = FileKind("a video", "Take pictures out of it, for instance with ffmpeg.")
_BRAND_PLACE = slice(4, 12)  # of the family of MP4, after the size of the first box
_KIND_BY_BRAND: tuple[tuple[bytes, FileKind], ...] = (
    (b"ftypavi", FileKind("an AVIF picture", _CONVERT)),
    *((b"ftyp" + brand, _HEIC) for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")),
    (b"ftyp", _VIDEO),
)
_FORM_PLACE = slice(8, 12)  # of RIFF, after the file's size
_KIND_BY_FORM = {b"WEBP": FileKind("a WebP picture", _CONVERT), b"AVI ": _VIDEO}


def kind_of_file(start: bytes) -> FileKind | None:
    """What a file is whose first ``NUM_BYTES_NEEDED`` bytes are ``start``; None if that is not known.

    JSON, YAML and other plain text have no mark of their own and are not known; pages and XML are.
    """
    if not start:
        return _EMPTY
    if len(start) >= 16 and not any(start):
        return _ZEROS
    for mark, kind in _KIND_BY_START:
        if start.startswith(mark):
            return kind
    if start[_TAR_PLACE] == b"ustar":
        return _TAR
    for mark, kind in _KIND_BY_BRAND:
        if start[_BRAND_PLACE].startswith(mark):
            return kind
    if start.startswith(b"RIFF") and start[_FORM_PLACE] in _KIND_BY_FORM:
        return _KIND_BY_FORM[start[_FORM_PLACE]]
    return _kind_of_markup(start)


def why_no_file(path: Path) -> str | None:
    """Why a path is not a file that can be read, to go behind it: ``does not exist``; None for a file.

    Opens nothing: a pipe would be waited for.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if not path.is_symlink():
            return "does not exist"
        return f"is a symbolic link to {path.readlink()}, which does not exist"
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "is a symbolic link that leads in a circle"
        return f"cannot be read: {error.strerror}"
    if stat.S_ISDIR(mode):
        return "is a folder, not a file"
    if stat.S_ISREG(mode):
        return None
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return f"is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a file"


def _kind_of_markup(start: bytes) -> FileKind | None:
    text = start.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if not text.startswith(b"<"):
        return None
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<script")) or b"<html" in text:
        return _PAGE
    if b"<annotations" in text:
        return FileKind("CVAT's XML")
    if b"<annotation" in text:
        return FileKind("Pascal VOC's XML of one picture", "Give the folder of the data set.")
    return FileKind("XML") if text.startswith((b"<?xml", b"<error")) else None
