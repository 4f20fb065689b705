"""Names of pictures that are spelt otherwise in the annotations than at the image root.

Programs disagree about accents (composed or decomposed), spaces (``%20``), slashes, and how many folders are
part of a name. Such a name is found where no other file can be meant. Hints tell of capitals and endings.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.wording import counted, first_few

_MOST_HINTS = 3


@dataclass(frozen=True, slots=True, eq=False)
class FoundNames:
    """Names looked for at an image root.

    Attributes:
        missing: Those that no file has, in the given order.
        contradictory: Those that several members of an archive have, with different content.
        file_by_name: The file of each name that is spelt otherwise; a name that is its file's is not in it.
    """

    missing: list[str]
    contradictory: list[str]
    file_by_name: Mapping[str, str]

    def notes(self) -> Iterator[str]:
        """What is spelt otherwise, a line for each way."""
        ways = {name: _difference(name, file) for name, file in self.file_by_name.items()}
        for way, count in Counter(ways.values()).items():
            name = next(name for name in ways if ways[name] == way)
            yield (
                f"{counted(count, 'name')} found though the file's differs in {way}, such as {name}, which "
                f"is {self.file_by_name[name]}"
            )


class FileNames:
    """The files at an image root, to look for those that a name may mean.

    Args:
        files: A spelling of each and its name, relative to the root; a file may have several spellings.
    """

    def __init__(self, files: Iterable[tuple[str, str]]) -> None:
        self._files_by_plain: defaultdict[str, list[str]] = defaultdict(list)
        self._plains_by_last: defaultdict[str, set[str]] = defaultdict(set)
        self._files_by_stem: defaultdict[str, list[str]] = defaultdict(list)
        for spelling, file in files:
            plain = _plain_form(spelling)
            self._files_by_plain[plain].append(file)
            self._plains_by_last[PurePosixPath(plain).name].add(plain)
            self._files_by_stem[_stem(plain)].append(file)

    def match(self, names: Iterable[str], *, taken: Collection[str]) -> dict[str, str]:
        """The file of each name that can mean only one, which no other name means.

        Args:
            names: None of them is a file's.
            taken: Files that have names of their own.
        """
        names_by_file: defaultdict[str, list[str]] = defaultdict(list)
        for name in names:
            files = self._meant_by(name)
            if len(files) == 1 and files[0] not in taken:
                names_by_file[files[0]].append(name)
        return {names[0]: file for file, names in names_by_file.items() if len(names) == 1}

    def hint(self, name: str) -> str:
        """Files that are like a name but for folders, capitals and ending: ``there is a.JPG``; or nothing."""
        files = self._meant_by(name) or self._files_by_stem.get(_stem(_plain_form(name)), [])
        return f"there is {first_few(sorted(files), _MOST_HINTS)}" if files else ""

    def _meant_by(self, name: str) -> list[str]:
        """Files of the same plain form; without one, those with some folders more or fewer in front."""
        plain = _plain_form(name)
        if plain in self._files_by_plain:
            return self._files_by_plain[plain]
        return [
            file
            for other in self._plains_by_last.get(PurePosixPath(plain).name, ())
            if other.endswith(f"/{plain}") or plain.endswith(f"/{other}")
            for file in self._files_by_plain[other]
        ]


class RenamedFiles:
    """Files by the names that the annotations have for them; workers share the table, as it is of arrays."""

    def __init__(self, file_by_name: Mapping[str, str]) -> None:
        names = sorted(file_by_name)
        self._names: NDArray[np.str_] = np.array(names, dtype=np.str_)
        self._files: NDArray[np.str_] = np.array([file_by_name[name] for name in names], dtype=np.str_)

    def file_of(self, name: str) -> str:
        """The file of a name; the name itself where it is no other's."""
        if not len(self._names):
            return name
        row = int(self._names.searchsorted(name))
        return str(self._files[row]) if row < len(self._names) and self._names[row] == name else name


def _plain_form(name: str) -> str:
    """What names have in common that programs spell in different ways."""
    name = name.replace("\\", "/")
    parts = unicodedata.normalize("NFC", _without_percent_signs(name)).split("/")
    return "/".join(part for part in parts if part not in ("", "."))


def _without_percent_signs(name: str) -> str:
    try:
        return unquote(name, errors="strict")
    except UnicodeDecodeError:
        return name


def _stem(plain: str) -> str:
    return PurePosixPath(plain).stem.casefold()


def _difference(name: str, file: str) -> str:
    """How a name and its file's differ."""
    ways = {
        "Unicode form": lambda text: unicodedata.normalize("NFC", text),
        "slashes": lambda text: text.replace("\\", "/"),
        "URL encoding": _without_percent_signs,
        "several ways": _plain_form,
    }
    return next((way for way, same in ways.items() if same(name) == same(file)), "folders")
