"""Where encoded pictures come from: a folder, or a ZIP archive read through an offset table."""

import difflib
import os
import struct
import weakref
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hrdet_cli.errors import DataError

MAX_FILE_BYTES = 512 * 2**20
"""No encoded picture is larger; what claims to be is refused before it is read."""

_MAX_NAME_LENGTH = 1000  # all rows of the table of names are as wide as the longest
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., length of the name, length of the extra field
_LOCAL_SIGNATURE = b"PK\x03\x04"
_UTF_8_FLAG = 1 << 11
_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


class MissingPictureError(DataError):
    """No file or member has a picture's name, or a link of that name leads to nothing."""


class ImageSource(Protocol):
    """Encoded pictures by name; can be pickled, and used after a fork."""

    def read(self, name: str) -> bytes:
        """Bytes of the file ``name``.

        Raises:
            MissingPictureError: There is no such file.
            DataError: It cannot be read whole.
        """

    def missing(self, names: Sequence[str]) -> list[str]:
        """Those of the names that the source does not hold, in the given order; reads no picture."""


def open_images(root: Path) -> ImageSource:
    """Open an image root.

    Args:
        root: A folder, or a ZIP archive.

    Raises:
        DataError: The root is neither, or the archive is damaged or holds what cannot be read.
    """
    if root.is_dir():
        return FolderImages(root)
    if not root.exists():
        raise DataError(f"image root {root} does not exist. Give a folder of pictures or a .zip archive.")
    return ZipImages(root)


class FolderImages:
    """Pictures in a folder and its subfolders."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, name: str) -> bytes:
        """Bytes of a file; see ``ImageSource``."""
        path = self._root / name
        try:
            with path.open("rb") as file:
                _check_size(os.fstat(file.fileno()).st_size, f"{path}")
                return file.read()
        except FileNotFoundError as error:
            raise MissingPictureError(_not_found(name, self._root, _file_names(path.parent))) from error
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}") from error

    def missing(self, names: Sequence[str]) -> list[str]:
        """Names without a file: lists each folder once instead of asking for each file."""
        files_by_folder: dict[str, set[str]] = {}
        absent = []
        for name in names:
            folder, _, file_name = name.rpartition("/")
            if folder not in files_by_folder:
                files_by_folder[folder] = set(_file_names(self._root / folder))
            if file_name not in files_by_folder[folder]:
                absent.append(name)
        return absent


class ZipImages:
    """Pictures in a ZIP archive, whose directory is read once.

    A member is then one ``os.pread`` at a known place: opening the archive anew for each picture would parse
    the whole directory each time.  The table is made of arrays, which worker processes share: of a dict of
    names they would copy page after page, by counting references.  Reads have no position to share either, so
    processes made by a fork may use the same descriptor; an unpickled copy opens its own.

    Names match with or without the archive's folder: ``1.jpg`` finds ``train/1.jpg`` when every member lies
    in ``train/``, and ``train/1.jpg`` finds ``1.jpg`` in ``train.zip``.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        try:
            with zipfile.ZipFile(path) as archive:
                members = [info for info in archive.infolist() if not info.is_dir()]
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise DataError(
                f"{path} is neither a folder nor a ZIP archive that can be read: {error}"
            ) from error
        members.sort(key=lambda info: info.filename)  # stable: of two with one name the last is found
        self._longest_name = max((len(info.filename) for info in members), default=1)
        if self._longest_name > _MAX_NAME_LENGTH:
            raise DataError(
                f"{path} holds a member with a name of {self._longest_name} characters; no more "
                f"than {_MAX_NAME_LENGTH} can be read. Make the archive again with shorter names."
            )
        self._names = np.array([info.filename for info in members], dtype=np.str_)
        self._members = np.array(
            [
                (
                    info.header_offset,
                    info.compress_size,
                    info.file_size,
                    info.CRC,
                    info.compress_type,
                    info.flag_bits & 1,
                    zlib.crc32(_stored_name(info)),
                )
                for info in members
            ],
            dtype=np.int64,
        ).reshape(-1, 7)
        self._folder = _common_folder(info.filename for info in members)

    def read(self, name: str) -> bytes:
        """Bytes of a member, checked against its CRC; see ``ImageSource``."""
        row = self._find(name)
        if row is None:
            raise MissingPictureError(_not_found(name, self._path, self._names.tolist()))
        offset, stored_size, size, crc, method, is_encrypted, name_crc = self._members[row].tolist()
        where = f"{name} in {self._path}"
        if is_encrypted:
            raise DataError(f"{where} is encrypted. Make the archive again without a password.")
        if method not in (_STORED, _DEFLATED):
            raise DataError(
                f"{where} is compressed with method {method}. Make the archive again with 'zip -0'."
            )
        _check_size(max(size, stored_size), where)
        try:
            stored = self._read_stored(offset, stored_size, name_crc)
            data = stored if method == _STORED else _inflate(stored, size)
        except (OSError, zlib.error) as error:
            raise DataError(f"{where} cannot be read: {error}. Is the archive complete?") from error
        if len(data) != size or zlib.crc32(data) != crc:
            raise DataError(f"{where} is damaged: its checksum is wrong. Copy or make the archive again.")
        return data

    def missing(self, names: Sequence[str]) -> list[str]:
        """Names without a member."""
        return [name for name in names if self._find(name) is None]

    def _find(self, name: str) -> int | None:
        candidates = (name, self._folder + name, name.removeprefix(f"{self._path.stem}/"))
        rows = (self._row_of(candidate) for candidate in candidates)
        return next((row for row in rows if row is not None), None)

    def _row_of(self, member: str) -> int | None:
        if len(member) > self._longest_name:  # numpy would copy all names to make room for it
            return None
        row = int(self._names.searchsorted(member, side="right")) - 1
        return row if row >= 0 and self._names[row] == member else None

    def _read_stored(self, offset: int, size: int, name_crc: int) -> bytes:
        """A member's bytes as stored; its own header says where they start, the directory does not.

        Header and directory must give it the same name, or a picture could pass for another.
        """
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_RDONLY)
            weakref.finalize(self, os.close, self._descriptor)
        header = os.pread(self._descriptor, _LOCAL_HEADER.size, offset)
        if len(header) < _LOCAL_HEADER.size:
            raise OSError("the file ends early")
        signature, name_length, extra_length = _LOCAL_HEADER.unpack(header)
        if signature != _LOCAL_SIGNATURE:
            raise OSError("no member where the directory says")
        name = os.pread(self._descriptor, name_length, offset + _LOCAL_HEADER.size)
        if zlib.crc32(name) != name_crc:
            raise OSError(f"it calls itself {name.decode('utf-8', errors='replace')!r:.80}")
        return os.pread(self._descriptor, size, offset + _LOCAL_HEADER.size + name_length + extra_length)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_descriptor": None}


def _stored_name(member: zipfile.ZipInfo) -> bytes:
    """A member's name as the directory has it."""
    return member.orig_filename.encode("utf-8" if member.flag_bits & _UTF_8_FLAG else "cp437")


def _inflate(stored: bytes, size: int) -> bytes:
    """Unpack at most a byte more than declared: a member that lies about its size cannot fill the memory."""
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(stored, size + 1)


def _common_folder(names: Iterable[str]) -> str:
    """The folder, with its slash, that all members but macOS's extras lie in; empty if there is none."""
    folders = {
        name.partition("/")[0] if "/" in name else "" for name in names if not name.startswith("__MACOSX/")
    }
    folder = folders.pop() if len(folders) == 1 else ""
    return f"{folder}/" if folder else ""


def _file_names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_file()]
    except OSError:
        return []


def _check_size(size: int, where: str) -> None:
    if size > MAX_FILE_BYTES:
        raise DataError(f"{where} claims {size} bytes; no picture may have more than {MAX_FILE_BYTES}")


def _not_found(name: str, root: Path, known: Iterable[str]) -> str:
    """Message that names the missing picture and those that look like it."""
    similar = difflib.get_close_matches(name, known, n=3, cutoff=0.7)
    hint = (
        f"Similar names there: {', '.join(similar)}."
        if similar
        else "Do the image root and the annotation file belong together?"
    )
    return f"picture {name} is not in {root}. {hint}"
