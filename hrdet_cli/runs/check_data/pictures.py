"""Look at the pictures of an annotation file, and at their label maps."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hrdet_cli.engine.data.checking.annotations import CheckedFile, CheckedPictures
from hrdet_cli.engine.data.checking.label_maps import find_maps, open_maps
from hrdet_cli.engine.data.checking.opening import Finding, NamedSize, open_all
from hrdet_cli.engine.data.checking.presence import check_presence
from hrdet_cli.engine.data.checking.problems import (
    DAMAGED_PIXELS,
    ODD_NAMES,
    UNREADABLE_PICTURE,
    Problem,
    ProblemKind,
    ProblemLog,
)
from hrdet_cli.engine.data.checking.sizes import OpenedPictures, settle_sizes
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.label_maps import LabelMaps
from hrdet_cli.engine.geometry import Size
from hrdet_cli.runs.check_data.options import CheckOptions
from hrdet_cli.runs.progress import WorkProgress


@dataclass(frozen=True, slots=True, eq=False)
class SeenPictures:
    """What looking at the pictures of a file has shown.

    Attributes:
        file: With their sizes, as far as they are beyond doubt.
        unusable: Rows of pictures that cannot be used.
        num_unnamed: How many are there that the file does not name; None where nobody looked.
        digests: By rows, of the files that were opened.
    """

    file: CheckedFile
    unusable: set[int] = field(default_factory=set)
    num_unnamed: int | None = None
    digests: Mapping[int, bytes] = field(default_factory=dict)


def look_at_pictures(
    file: CheckedFile, root: Path, source: ImageSource, options: CheckOptions, log: ProblemLog
) -> Generator[WorkProgress, None, SeenPictures]:
    """Look whether the pictures of a file are there, and open them.

    Args:
        file: Which pictures.
        root: Where they are.
        source: The same, opened.
        options: How to look.
        log: Gets what is wrong.
    """
    presence = check_presence(file.pictures, source, root, log)
    unusable = set(presence.unusable_rows)
    for note in presence.notes:
        log.add_one(Problem(ODD_NAMES, file.path.name, None, note))
    if not options.opens_pictures:
        return SeenPictures(file, unusable, presence.num_unnamed)
    opened = yield from _open_pictures(file, root, source, unusable, options, log)
    file, of_another_size = settle_sizes(file, opened, log)
    unusable |= opened.unusable | of_another_size
    return SeenPictures(file, unusable, presence.num_unnamed, opened.digests)


def _open_pictures(
    file: CheckedFile,
    root: Path,
    source: ImageSource,
    missing: set[int],
    options: CheckOptions,
    log: ProblemLog,
) -> Generator[WorkProgress, None, OpenedPictures]:
    """Open the pictures that are there."""
    pictures = file.pictures
    rows = [row for row in np.flatnonzero(pictures.is_named).tolist() if row not in missing]
    named = [
        NamedSize(pictures.names[row] or "", Size(height, width) if height and width else None)
        for row, (height, width) in zip(rows, pictures.sizes[rows].tolist(), strict=True)
    ]
    yield WorkProgress(f"opening {root.name}", 0, len(rows))
    found: dict[int, Finding] = {}
    for opened in open_all(source, named, num_workers=options.count_workers(), max_pixels=options.max_pixels):
        found |= {rows[finding.position]: finding for finding in opened.findings}
        yield WorkProgress(f"opening {root.name}", opened.num_done, len(rows))
    faults = {row: finding.fault for row, finding in found.items() if finding.fault is not None}
    damage = {row: finding.damage for row, finding in found.items() if finding.damage is not None}
    for kind, what_by_row in ((UNREADABLE_PICTURE, faults), (DAMAGED_PIXELS, damage)):
        _report_pictures(pictures, kind, what_by_row, log)
    true_sizes = {row: finding.true_sizes for row, finding in found.items() if finding.true_sizes is not None}
    digests = {row: finding.digest for row, finding in found.items() if finding.digest is not None}
    return OpenedPictures(rows, set(faults), true_sizes, digests)


def look_at_label_maps(
    pictures: CheckedPictures, root: Path, unusable: set[int], options: CheckOptions, log: ProblemLog
) -> Generator[WorkProgress, None, None]:
    """What a semantic branch learns from; maps of pictures that cannot be used are not opened.

    Args:
        pictures: Whose maps.
        root: Where they are.
        unusable: Rows of pictures that cannot be used.
        options: How to look.
        log: Gets what is wrong.

    Raises:
        DataError: The root cannot be opened.
    """
    maps = LabelMaps(open_images(root), num_labels=options.num_labels or 0)
    present = find_maps(pictures, maps, log)
    rows = [row for row in present if row not in unusable and pictures.sizes[row].all()]
    if options.opens_pictures:
        yield WorkProgress(f"opening {root.name}", 0, len(rows))
        for num_done in open_maps(pictures, rows, maps, log, num_workers=options.count_workers()):
            yield WorkProgress(f"opening {root.name}", num_done, len(rows))


def _report_pictures(
    pictures: CheckedPictures, kind: ProblemKind, what_by_row: Mapping[int, str], log: ProblemLog
) -> None:
    def describe(row: int) -> Problem:
        return Problem(kind, pictures.names[row] or "", pictures.entries.item(row), what_by_row[row])

    log.add(kind, list(what_by_row), describe)
