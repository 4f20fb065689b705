"""Which of the pictures that an annotation file names are there, and how many it does not name."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hrdet_cli.engine.data.checking.annotations import CheckedPictures
from hrdet_cli.engine.data.checking.problems import MISSING_PICTURE, Problem, ProblemLog
from hrdet_cli.engine.data.images import ImageSource
from hrdet_cli.engine.data.picture_listing import list_pictures, looks_like_picture


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
    present = list_pictures(root).names
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
    found = {name for name in name_by_row.values() if name not in missing and looks_like_picture(name)}
    return Presence(rows, num_unnamed=max(0, len(present) - len(found)))


def _bare(name: str) -> str:
    """A name as people mistake it: without folders, in small letters."""
    return PurePosixPath(name).name.lower()
