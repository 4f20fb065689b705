"""A YOLO label file: ``class x y width height``, or ``class x1 y1 x2 y2 ...``, in shares of the picture."""

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from hrdet_cli.engine.data.checking.problems import (
    BROKEN_ANNOTATION,
    UNKNOWN_CATEGORY,
    ProblemKind,
)
from hrdet_cli.engine.data.formats.reading import COORDINATE_DECIMALS, OutlinedEntry
from hrdet_cli.engine.data.formats.text_lines import lines_of
from hrdet_cli.engine.geometry import Size
from hrdet_cli.wording import shortened

_NUM_VALUES_OF_BOX = 5
_NUM_VALUES_OF_SCORED_BOX = 6
_LEAST_SHARE, _MOST_SHARE = -0.01, 1.01  # as ultralytics has it


@dataclass(frozen=True, slots=True)
class ObjectLine:
    """A line that can be used.

    Attributes:
        number: From 1 on.
        label: Index of the class.
        box: COCO's ``[x, y, width, height]`` in pixels.
        polygon: ``x1, y1, x2, y2, ...`` in pixels; None of a line that is a box.
    """

    number: int
    label: int
    box: list[float]
    polygon: list[float] | None

    def to_entry(self, annotation_id: int, image_id: int) -> OutlinedEntry:
        """The annotation it is."""
        return OutlinedEntry(
            id=annotation_id,
            image_id=image_id,
            category_id=self.label + 1,
            bbox=self.box,
            segmentation=msgspec.UNSET if self.polygon is None else [self.polygon],
        )


@dataclass(frozen=True, slots=True)
class FaultyLine:
    """A line that cannot."""

    number: int
    kind: ProblemKind
    what: str


def read_lines(text: bytes, size: Size, *, num_classes: int) -> Iterator[ObjectLine | FaultyLine]:
    """The lines of a label file, those with nothing but white space left out.

    Args:
        text: The file's bytes.
        size: Of the picture.
        num_classes: K; labels are from 0 to K - 1.

    Raises:
        ValueError: They are no text.
    """
    try:
        lines = lines_of(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"is no text in UTF-8 (byte {error.start:,})") from error
    return (
        _read_line(number, values, size, num_classes)
        for number, line in enumerate(lines, start=1)
        if (values := line.split())
    )


def _read_line(number: int, values: list[str], size: Size, num_classes: int) -> ObjectLine | FaultyLine:
    try:
        label, *numbers = map(float, values)
    except ValueError:
        return FaultyLine(number, BROKEN_ANNOTATION, f"{_shown(values)} is not all numbers")
    if (what := _what_is_wrong_with(values, numbers)) is not None:
        return FaultyLine(number, BROKEN_ANNOTATION, what)
    if not (label.is_integer() and 0 <= label < num_classes):
        what = f"class {shortened(values[0])} is not in names, which has 0 to {num_classes - 1}"
        return FaultyLine(number, UNKNOWN_CATEGORY, what)
    if len(values) == _NUM_VALUES_OF_BOX:
        centre_x, centre_y, width, height = numbers
        corner = (centre_x - width / 2, centre_y - height / 2)
        return ObjectLine(number, int(label), _pixels([*corner, width, height], size), None)
    polygon = _pixels(numbers, size)
    left, top = min(polygon[::2]), min(polygon[1::2])
    edges = (max(polygon[::2]) - left, max(polygon[1::2]) - top)
    box = [left, top, *(round(edge, COORDINATE_DECIMALS) for edge in edges)]
    return ObjectLine(number, int(label), box, polygon)


def _what_is_wrong_with(values: list[str], numbers: list[float]) -> str | None:
    if len(values) == _NUM_VALUES_OF_SCORED_BOX:
        return (
            "has 6 values: class, box and what looks like a score, as detectors write it; labels have 5, or "
            "7 and more of a polygon"
        )
    if len(values) < _NUM_VALUES_OF_BOX or len(values) % 2 == 0:
        return (
            f"has {len(values)} values; expected class, x, y, width, height, or class and the x and y of "
            "three corners or more"
        )
    outside = [text for text, value in zip(values[1:], numbers, strict=True) if not _is_share(value)]
    if outside:
        return (
            f"{shortened(outside[0])} is not from 0 to 1: coordinates are shares of the picture's width and "
            "height"
        )
    return None


def _is_share(value: float) -> bool:
    return _LEAST_SHARE <= value <= _MOST_SHARE


def _pixels(shares: list[float], size: Size) -> list[float]:
    edges = (size.width, size.height)
    return [round(share * edges[place % 2], COORDINATE_DECIMALS) for place, share in enumerate(shares)]


def _shown(values: list[str]) -> str:
    return repr(shortened(" ".join(values)))
