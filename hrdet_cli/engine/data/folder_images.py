"""Pictures in a folder and its subfolders."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hrdet_cli.engine.data.image_source import missing_picture, refuse_too_large
from hrdet_cli.engine.data.picture_names import FileNames, FoundNames, RenamedFiles
from hrdet_cli.engine.data.shortages import shortage_of
from hrdet_cli.errors import DataError
from hrdet_cli.file_kinds import why_no_file


class FolderImages:
    """Pictures in a folder and its subfolders; see ``ImageSource``."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._renamed = RenamedFiles({})
        self._known: FileNames | None = None

    def find(self, names: Sequence[str]) -> FoundNames:
        """See ``ImageSource``: lists each folder once instead of asking for each file."""
        entries_by_folder: dict[str, dict[str, bool]] = {}
        absent, sought = [], []
        for name in names:
            folder, _, file_name = name.rpartition("/")
            if folder not in entries_by_folder:
                entries_by_folder[folder] = dict(_entries_of(self._root / folder))
            if not entries_by_folder[folder].get(file_name, False):
                absent.append(name)
                if file_name not in entries_by_folder[folder]:  # else something is there that is no file
                    sought.append(name)
        file_by_name = {}
        if sought:
            file_by_name = self._file_names().match(sought, taken=set(names) - set(absent))
        self._renamed = RenamedFiles(file_by_name)
        return FoundNames([name for name in absent if name not in file_by_name], [], file_by_name)

    def why_missing(self, name: str) -> str:
        """See ``ImageSource``."""
        if os.path.lexists(self._root / name):
            return why_no_file(self._root / name) or f"is not in {self._root}"
        hint = self._file_names().hint(name)
        return f"is not in {self._root}" + (f"; {hint}" if hint else "")

    def notes(self) -> Sequence[str]:
        """Nothing is odd about a folder."""
        return ()

    def read(self, name: str) -> bytes:
        """Bytes of a file; see ``ImageSource``."""
        path = self._root / self._renamed.file_of(name)
        try:
            with open(path, "rb", opener=_open_at_once) as file:
                status = os.fstat(file.fileno())
                if not stat.S_ISREG(status.st_mode):
                    raise DataError(f"picture {name} {why_no_file(path)}.")
                refuse_too_large(status.st_size, f"{path}")
                return file.read()
        except FileNotFoundError as error:
            raise missing_picture(name, self.why_missing(name)) from error
        except OSError as error:
            shortage = shortage_of(error)
            if shortage is not None:  # not the picture's fault
                raise shortage from error
            reason = why_no_file(path) or f"cannot be read: {error.strerror}"
            raise DataError(f"picture {name} {reason}.") from error

    def _file_names(self) -> FileNames:
        """All files; only asked for where one is missing."""
        if self._known is None:
            files = list_files(self._root, [])
            self._known = FileNames((file, file) for file in files if (self._root / file).is_file())
        return self._known

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_known": None}


def _open_at_once(path: str, flags: int) -> int:
    """Open without waiting: a pipe would be waited for until somebody writes into it."""
    return os.open(path, flags | os.O_NONBLOCK)


def _entries_of(folder: Path) -> Iterator[tuple[str, bool]]:
    """Names in a folder, and whether each is a file or a link to one; none where there is no folder."""
    try:
        with os.scandir(folder) as entries:
            yield from ((entry.name, _is_file(entry)) for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise DataError(f"{folder} cannot be looked into: {error.strerror}") from error


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads in a circle
        return False


def list_files(root: Path, unreadable: list[str]) -> Iterator[str]:
    """Paths of all but folders in a folder and its subfolders, relative to it.

    Links to folders are followed at last, where these are not listed already: so nothing comes twice, and no
    link leads in a circle.

    Args:
        root: The folder.
        unreadable: Gets the folders that cannot be looked into.
    """
    seen: set[str] = set()
    starts = [root]
    for start in starts:  # of which there get more
        for name, inner, files in os.walk(
            start, onerror=lambda error: unreadable.append(str(error.filename))
        ):
            folder, real = Path(name), os.path.realpath(name)
            if real in seen:
                inner.clear()
                continue
            seen.add(real)
            inner.sort()  # for which of several links to a folder is followed
            starts += [folder / link for link in inner if (folder / link).is_symlink()]
            inside = folder.relative_to(root)
            yield from ((inside / file).as_posix() for file in files)
