"""Which of the pictures that an annotation file names are there, and how many it does not name."""

from dataclasses import dataclass
from pathlib import Path

from hrdet_cli.engine.data.checking.annotations import CheckedPictures
from hrdet_cli.engine.data.checking.problems import (
    CONTRADICTORY_PICTURE,
    MISSING_PICTURE,
    Problem,
    ProblemLog,
)
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.picture_listing import list_pictures, looks_like_picture


@dataclass(frozen=True, slots=True)
class Presence:
    """Annotation file and image root compared.

    Attributes:
        unusable_rows: Entries whose picture is not there, or is several ones.
        num_unnamed: Pictures there that no entry names, as far as file names tell what a picture is.
        notes: What is odd about names, and does no harm.
    """

    unusable_rows: list[int]
    num_unnamed: int
    notes: list[str]


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
    found = images.find(list(name_by_row.values()))
    kinds = dict.fromkeys(found.missing, MISSING_PICTURE)
    kinds |= dict.fromkeys(found.contradictory, CONTRADICTORY_PICTURE)

    def describe(row: int) -> Problem:
        name, item = name_by_row[row], pictures.entries.item(row)
        kind = kinds[name]
        what = (
            images.why_missing(name) if kind is MISSING_PICTURE else f"is several different members of {root}"
        )
        return Problem(kind, name, item, what)

    rows = [row for row, name in name_by_row.items() if name in kinds]
    for kind in (MISSING_PICTURE, CONTRADICTORY_PICTURE):
        log.add(kind, [row for row in rows if kinds[name_by_row[row]] is kind], describe)
    usable = {name for name in name_by_row.values() if name not in kinds and looks_like_picture(name)}
    return Presence(
        rows, num_unnamed=max(0, len(present) - len(usable)), notes=[*found.notes(), *images.notes()]
    )
