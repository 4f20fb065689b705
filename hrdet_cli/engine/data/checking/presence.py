"""Which of the pictures that an annotation file names are there, and how many it does not name."""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hrdet_cli.engine.data.checking.annotations import CheckedPictures
from hrdet_cli.engine.data.checking.problems import MISSING_PICTURE, Problem, ProblemLog
from hrdet_cli.engine.data.images import ImageSource

_PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")


@dataclass(frozen=True, slots=True)
class Presence:
    """Annotation file and image root compared.

    Attributes:
        missing_rows: Entries whose picture is not there.
        num_unnamed: Pictures there that no entry names, as far as file names tell what a picture is.
    """

    missing_rows: list[int]
    num_unnamed: int


def check_presence(pictures: CheckedPictures, images: ImageSource, root: Path, log: ProblemLog) -> Presence:
    """Look for every named picture without opening any; a problem for each that is missing.

    Args:
        pictures: The entries.
        images: Where their pictures should be.
        root: The same place as a path.
        log: Collects the problems.
    """
    present = _list_pictures(root)
    name_by_row = {row: name for row, name in enumerate(pictures.names) if name is not None}
    missing = set(images.missing(list(name_by_row.values())))
    place_by_name = {_bare(place): place for place in reversed(present)} if missing else {}

    def describe(row: int) -> Problem:
        place = place_by_name.get(_bare(name_by_row[row]))
        hint = f"; there is {place}" if place else ""
        item = pictures.entries.item(row)
        return Problem(MISSING_PICTURE, name_by_row[row], item, f"is not in {root}{hint}")

    rows = [row for row, name in name_by_row.items() if name in missing]
    log.add(MISSING_PICTURE, rows, describe)
    found = {name for name in name_by_row.values() if name not in missing and _looks_like_picture(name)}
    return Presence(rows, num_unnamed=max(0, len(present) - len(found)))


def _list_pictures(root: Path) -> list[str]:
    """Pictures in a folder and its subfolders, or in an archive."""
    if root.is_dir():
        folders = [(Path(folder).relative_to(root), files) for folder, _, files in os.walk(root)]
        names = [(folder / file).as_posix() for folder, files in folders for file in files]
    else:
        with zipfile.ZipFile(root) as archive:
            names = archive.namelist()
    return sorted(name for name in names if _looks_like_picture(name))


def _looks_like_picture(name: str) -> bool:
    path = PurePosixPath(name)
    is_extra_of_macos = path.name.startswith("._") or "__MACOSX" in path.parts
    return path.suffix.lower() in _PICTURE_ENDINGS and not is_extra_of_macos


def _bare(name: str) -> str:
    """A name as people mistake it: without folders, in small letters."""
    return PurePosixPath(name).name.lower()
