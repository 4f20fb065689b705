"""Sizes of pictures that their entries lack or have wrong, judged over the whole file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.checking.annotations import CheckedFile, CheckedPictures
from hrdet_cli.engine.data.checking.problems import (
    EXCHANGED_SIZES,
    RESCALED_PICTURES,
    WRONG_SIZE,
    Problem,
    ProblemLog,
)
from hrdet_cli.engine.data.true_sizes import TrueSizes
from hrdet_cli.engine.geometry import Size
from hrdet_cli.wording import counted

_TOLERANCE = 1.0  # pixels that a box may reach out by and still fit
_FEWEST_PICTURES = 2  # one that is exchanged may as well have been turned


@dataclass(frozen=True, slots=True, eq=False)
class OpenedPictures:
    """What opening the pictures of a file has shown.

    Attributes:
        rows: Entries whose pictures were opened.
        unusable: Of them, those whose pictures cannot be read.
        true_sizes: Of those whose entries say no size or another one.
        digests: Of their files, as far as they could be read.
    """

    rows: Sequence[int]
    unusable: set[int]
    true_sizes: Mapping[int, TrueSizes]
    digests: Mapping[int, bytes] = field(default_factory=dict)


def settle_sizes(file: CheckedFile, opened: OpenedPictures, log: ProblemLog) -> tuple[CheckedFile, set[int]]:
    """Give entries their pictures' sizes where those are beyond doubt.

    Args:
        file: The file.
        opened: Its pictures.
        log: Is told of all sizes that are wrong.

    Returns:
        The file with these sizes, and the rows of pictures that are of another size and stay so.
    """
    pictures = file.pictures
    given = pictures.sizes
    settled = _missing_sizes(file, opened)
    wrong = {row: true for row, true in opened.true_sizes.items() if row not in settled}
    exchanged = {row: size for row, true in wrong.items() if (size := _exchanged(given[row], true))}
    are_all = len(exchanged) >= _FEWEST_PICTURES and exchanged.keys() >= _oblong(opened, pictures)
    if are_all and _judge_exchanged(file, exchanged, log):
        settled |= exchanged
        wrong = {row: true for row, true in wrong.items() if row not in exchanged}
    _note_scales({row: (given[row], true) for row, true in wrong.items()}, file, log)
    log.add(WRONG_SIZE, list(wrong), lambda row: _wrong_size(pictures, row, wrong[row]))
    return _with_sizes(file, settled), set(wrong)


def _with_sizes(file: CheckedFile, settled: Mapping[int, Size]) -> CheckedFile:
    if not settled:
        return file
    sizes = file.pictures.sizes.copy()
    for row, size in settled.items():
        sizes[row] = size.height, size.width
        file.pictures.entries.change(row, "width", size.width)
        file.pictures.entries.change(row, "height", size.height)
    return replace(file, pictures=replace(file.pictures, sizes=sizes))


def _missing_sizes(file: CheckedFile, opened: OpenedPictures) -> dict[int, Size]:
    """The sizes of pictures whose entries lack a width or a height, unless that contradicts the other.

    Where EXIF turns a picture, its boxes were drawn on it turned, as people see it, unless they only fit into
    the picture as it is stored.
    """
    given = file.pictures.sizes
    rows = [row for row in opened.true_sizes if not given[row].all()]
    num_out = [_num_out(file, {row: opened.true_sizes[row].both[way] for row in rows}) for way in (0, 1)]
    settled = {}
    for row in rows:
        height, width = given[row].tolist()
        fitting = [
            (num_out[way][row], way)
            for way, size in enumerate(opened.true_sizes[row].both)
            if height in (0, size.height) and width in (0, size.width)
        ]
        if fitting:
            settled[row] = opened.true_sizes[row].both[min(fitting)[1]]
    return settled


def _exchanged(given: NDArray[np.int64], true: TrueSizes) -> Size | None:
    """The true size of a picture whose entry says its height for the width and its width for the height."""
    height, width = given.tolist()
    return Size(width, height) if height and width and Size(width, height) in true.both else None


def _oblong(opened: OpenedPictures, pictures: CheckedPictures) -> set[int]:
    """Rows of all opened pictures that can be read, are not square, and have a size in the file."""
    is_square = pictures.sizes[:, 0] == pictures.sizes[:, 1]
    true = opened.true_sizes
    return {
        row
        for row in opened.rows
        if row not in opened.unusable
        and pictures.sizes[row].all()
        and not (true[row].stored.height == true[row].stored.width if row in true else is_square[row])
    }


def _judge_exchanged(file: CheckedFile, exchanged: Mapping[int, Size], log: ProblemLog) -> bool:
    """Tell that the entries of all pictures have width and height exchanged; whether that is all."""
    all_pictures = f"of all {counted(len(exchanged), 'picture')} that are not square"
    num_out = int(_num_out(file, exchanged)[list(exchanged)].sum())
    if not num_out:
        what = f"the entries {all_pictures} say the width for the height; exchanged, all boxes fit"
        log.add_one(Problem(EXCHANGED_SIZES, file.path.name, None, what, count=len(exchanged)))
        return True
    what = (
        f"the entries {all_pictures} say the width for the height, but {counted(num_out, 'box', 'boxes')} "
        "would not fit then: the pictures were turned, it seems, after the boxes were drawn. Use them "
        "as they were before"
    )
    log.add_one(Problem(RESCALED_PICTURES, file.path.name, None, what))
    return False


def _num_out(file: CheckedFile, sizes: Mapping[int, Size]) -> NDArray[np.int64]:
    """``(M,)`` how many boxes of each picture reach out of it if these have these sizes."""
    annotations, given = file.annotations, file.pictures.sizes.copy()
    for row, size in sizes.items():
        given[row] = size.height, size.width
    edges = annotations.sizes_in(given)[:, ::-1]
    far = annotations.boxes[:, :2] + annotations.boxes[:, 2:]
    is_out = annotations.has_box & (annotations.picture_rows >= 0) & (far > edges + _TOLERANCE).any(axis=1)
    return np.bincount(annotations.picture_rows[is_out], minlength=len(given))


def _note_scales(
    wrong: Mapping[int, tuple[NDArray[np.int64], TrueSizes]], file: CheckedFile, log: ProblemLog
) -> None:
    """Tell where pictures are scaled copies of what their entries say."""
    factors = [
        factor for given, true in wrong.values() if (factor := _factor(given, true.turned)) is not None
    ]
    if len(factors) < _FEWEST_PICTURES or len(factors) < len(wrong):
        return
    low, high = min(factors), max(factors)
    by = f"{low:.3g}" if high - low < 0.01 * high else f"{low:.3g} to {high:.3g}"
    what = (
        f"{counted(len(factors), 'picture')} have their entries' shape, but {by} times their size: they were "
        "resized after they were annotated, it seems. Use the pictures of these sizes, or scale sizes and "
        "boxes too"
    )
    log.add_one(Problem(RESCALED_PICTURES, file.path.name, None, what))


def _factor(given: NDArray[np.int64], true: Size) -> float | None:
    """By what a picture is scaled whose entry gives the former size; None where its shape is another."""
    height, width = given.tolist()
    if not height or not width:
        return None
    factor = (true.height + true.width) / (height + width)
    is_same = max(abs(true.height - height * factor), abs(true.width - width * factor)) <= 1
    return factor if is_same else None


def _wrong_size(pictures: CheckedPictures, row: int, true: TrueSizes) -> Problem:
    height, width = pictures.sizes[row].tolist()
    said = f"{width}x{height}, width x height" if height and width else "another width or height"
    what = (
        f"is {true.stored} but its annotations say {said}. "
        "Correct the size and boxes in the annotation file, or the picture"
    )
    return Problem(WRONG_SIZE, pictures.names[row] or "", pictures.entries.item(row), what)
