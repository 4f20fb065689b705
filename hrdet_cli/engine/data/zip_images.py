"""Pictures in a ZIP archive, read through an offset table."""

import itertools
import os
import stat
import struct
import weakref
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hrdet_cli.engine.data.image_source import missing_picture, refuse_too_large
from hrdet_cli.engine.data.picture_names import FileNames, FoundNames, RenamedFiles
from hrdet_cli.engine.data.shortages import shortage_of
from hrdet_cli.errors import DataError
from hrdet_cli.file_kinds import NUM_BYTES_NEEDED, kind_of_file
from hrdet_cli.wording import counted

_MAX_NAME_LENGTH = 1000  # all rows of the table of names are as wide as the longest
_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, ..., length of the name, length of the extra field
_LOCAL_SIGNATURE = b"PK\x03\x04"
_UTF_8_FLAG = 1 << 11
_STORED, _DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


def list_members(path: Path) -> list[zipfile.ZipInfo]:
    """The files in a ZIP archive, in the order of its directory; those without a name too.

    Raises:
        DataError: It is no archive, or cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return [info for info in archive.infolist() if not info.filename.endswith("/")]
    except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        words = "its directory is damaged" if isinstance(error, ValueError) else str(error)
        raise DataError(
            f"{path} is neither a folder nor a ZIP archive that can be read: {_what_else(path) or words}"
        ) from error


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
        self._renamed = RenamedFiles({})
        self._known: FileNames | None = None
        members = list_members(path)
        self._num_nameless = sum(not info.filename for info in members)
        members = sorted((info for info in members if info.filename), key=lambda info: info.filename)
        self._num_alike, self._contradictory = _repeated(members)
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
                    stat.S_ISLNK(info.external_attr >> 16),
                    zlib.crc32(_stored_name(info)),
                )
                for info in members
            ],
            dtype=np.int64,
        ).reshape(-1, 8)
        self._folder = _common_folder(info.filename for info in members)

    def find(self, names: Sequence[str]) -> FoundNames:
        """See ``ImageSource``."""
        rows = [self._find(name) for name in names]
        absent = [name for name, row in zip(names, rows, strict=True) if row is None]
        file_by_name = {}
        if absent:
            taken = {str(self._names[row]) for row in rows if row is not None}
            file_by_name = self._file_names().match(absent, taken=taken)
        self._renamed = RenamedFiles(file_by_name)
        contradictory = (
            [name for name in names if self._is_contradictory(name)] if self._contradictory else []
        )
        return FoundNames([name for name in absent if name not in file_by_name], contradictory, file_by_name)

    def _is_contradictory(self, name: str) -> bool:
        row = self._find(self._renamed.file_of(name))
        return row is not None and self._names[row] in self._contradictory

    def why_missing(self, name: str) -> str:
        """See ``ImageSource``."""
        hint = self._file_names().hint(name)
        return f"is not in {self._path}" + (f"; {hint}" if hint else "")

    def notes(self) -> Sequence[str]:
        """Members that no name can mean, and names that mean several members alike."""
        notes = []
        if self._num_nameless:
            notes.append(
                f"{self._path}: {counted(self._num_nameless, 'member')} without a name; nothing reads them"
            )
        if self._num_alike:
            notes.append(f"{self._path}: {counted(self._num_alike, 'member')} again, with the same content")
        return notes

    def read(self, name: str) -> bytes:
        """Bytes of a member, checked against its CRC; see ``ImageSource``."""
        row = self._find(self._renamed.file_of(name))
        if row is None:
            raise missing_picture(name, self.why_missing(name))
        offset, stored_size, size, crc, method, is_encrypted, is_link, name_crc = self._members[row].tolist()
        where = f"{name} in {self._path}"
        if self._names[row] in self._contradictory:
            raise DataError(f"{where} is there several times, and not the same. Make the archive again.")
        if is_encrypted:
            raise DataError(f"{where} is encrypted. Make the archive again without a password.")
        if method not in (_STORED, _DEFLATED):
            raise DataError(
                f"{where} is compressed with method {method}. Make the archive again with 'zip -0'."
            )
        if is_link:
            raise DataError(
                f"{where} is a symbolic link. Make the archive again with the files, without 'zip -y'."
            )
        refuse_too_large(max(size, stored_size), where)
        try:
            stored = self._read_stored(offset, stored_size, name_crc)
            data = stored if method == _STORED else _inflate(stored, size)
        except (OSError, zlib.error) as error:
            shortage = shortage_of(error)
            if shortage is not None:  # not the picture's fault
                raise shortage from error
            raise DataError(f"{where} cannot be read: {error}. Is the archive complete?") from error
        if len(data) != size or zlib.crc32(data) != crc:
            raise DataError(f"{where} is damaged: its checksum is wrong. Copy or make the archive again.")
        return data

    def _find(self, name: str) -> int | None:
        candidates = (name, self._folder + name, name.removeprefix(f"{self._path.stem}/"))
        rows = (self._row_of(candidate) for candidate in candidates)
        return next((row for row in rows if row is not None), None)

    def _file_names(self) -> FileNames:
        """All members; only asked for where one is missing."""
        if self._known is None:
            names = self._names.tolist()
            self._known = FileNames((spelling, name) for name in names for spelling in _spellings(name))
        return self._known

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
        return self.__dict__ | {"_descriptor": None, "_known": None}


def _stored_name(member: zipfile.ZipInfo) -> bytes:
    """A member's name as the directory has it."""
    return member.orig_filename.encode("utf-8" if member.flag_bits & _UTF_8_FLAG else "cp437")


def _spellings(name: str) -> Iterator[str]:
    """A member's name, and the one it would have if its bytes were UTF-8, as some programs do not say."""
    yield name
    with suppress(UnicodeError):
        unsaid = name.encode("cp437").decode("utf-8")
        if unsaid != name:
            yield unsaid


def _repeated(members: Sequence[zipfile.ZipInfo]) -> tuple[int, frozenset[str]]:
    """How many members only come again, and the names that several of different content have.

    Args:
        members: In the order of their names.
    """
    num_alike, contradictory = 0, set()
    for one, other in itertools.pairwise(members):
        if one.filename == other.filename:
            if (one.CRC, one.file_size) == (other.CRC, other.file_size):
                num_alike += 1
            else:
                contradictory.add(one.filename)
    return num_alike, frozenset(contradictory)


def _what_else(path: Path) -> str:
    """What a file is that is no archive, and what to do; empty where that is not known."""
    try:
        with path.open("rb") as file:
            start = file.read(NUM_BYTES_NEEDED)
    except OSError:
        return ""
    kind = kind_of_file(start)
    if kind is not None and not start.startswith(_LOCAL_SIGNATURE):
        return f"it is {kind.name}. {kind.remedy or 'Give the folder with all pictures.'}"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"[")):
        return "it looks like JSON. The annotation file comes first, the pictures second."
    return ""


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
