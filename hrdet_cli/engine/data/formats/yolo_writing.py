"""A data set as ultralytics lays YOLO's out."""

import json
from collections.abc import Mapping, Sequence

from hrdet_cli.engine.data.formats.conversion import (
    DescribedObject,
    DescribedPicture,
    Losses,
    area_of_polygon,
)

FEWEST_CORNERS = 3
_ROUNDING = 1e-6  # pixels
_BOX_TOLERANCE = 0.01  # pixels: COCO's own files have two decimals


def data_yaml(places: Mapping[str, str], class_names: Sequence[str]) -> str:
    """The file that says where the pictures of each part are, and what the classes are called.

    Names are in quotes: to some readers of YAML, ``yes`` and ``off`` are no texts.
    """
    lines = [f"{part}: {json.dumps(place)}\n" for part, place in places.items()]
    names = [f"  {label}: {json.dumps(name, ensure_ascii=False)}\n" for label, name in enumerate(class_names)]
    return "".join([*lines, "names:\n", *names])


def label_text(picture: DescribedPicture, losses: Losses, *, as_polygons: bool) -> str:
    """The label file of a picture.

    Numbers have all their digits, so that what is read again is what was written to a millionth of a pixel.
    What reaches out of its picture is clipped to it, for shares are from 0 to 1.

    Args:
        picture: With its objects.
        losses: Is told what has no place there.
        as_polygons: Whether every line is a polygon, and none a box: ultralytics takes all lines of a file
            with both for polygons.
    """
    lines: list[str] = []
    for each in picture.objects:
        if each.is_crowd:
            losses["crowd regions (difficult objects), left out"] += 1
            continue
        box = _clipped(each.box, picture, losses)
        if box is None:
            losses["boxes without extent in their picture, left out"] += 1
        elif as_polygons:
            polygon = _polygon_of(each, box, losses)
            losses["areas, which become those of their polygons"] += each.has_other_area(
                area_of_polygon(polygon)
            )
            losses["boxes, which become those around their polygons"] += _has_other_box(polygon, box, picture)
            lines.append(_line(each, polygon, picture))
        else:
            losses["masks, left out (--polygons writes them)"] += each.segmentation is not None
            x, y, width, height = box
            losses["areas, which become those of their boxes"] += each.has_other_area(width * height)
            lines.append(_line(each, [x + width / 2, y + height / 2, width, height], picture))
    return "".join(lines)


def _clipped(box: Sequence[float], picture: DescribedPicture, losses: Losses) -> Sequence[float] | None:
    """A box inside its picture; None where nothing of it is."""
    x, y, width, height = box
    left, top = max(x, 0), max(y, 0)
    right, bottom = min(x + width, picture.size.width), min(y + height, picture.size.height)
    if right <= left or bottom <= top:
        return None
    overhang = max(left - x, top - y, x + width - right, y + height - bottom)
    if overhang <= _ROUNDING:
        return box
    losses["boxes reaching out of their picture, clipped"] += 1
    return [left, top, right - left, bottom - top]


def _line(each: DescribedObject, values: Sequence[float], picture: DescribedPicture) -> str:
    edges = (picture.size.width, picture.size.height)
    shares = (min(max(value / edges[place % 2], 0.0), 1.0) for place, value in enumerate(values))
    return " ".join([str(each.label), *map(repr, shares)]) + "\n"


def _has_other_box(polygon: Sequence[float], box: Sequence[float], picture: DescribedPicture) -> bool:
    """Whether the box around a polygon, as far as it is in the picture, is another one than its object's."""
    for axis, edge in enumerate((picture.size.width, picture.size.height)):
        inside = [min(max(value, 0), edge) for value in polygon[axis::2]]
        ends = box[axis], box[axis] + box[axis + 2]
        if max(abs(min(inside) - ends[0]), abs(max(inside) - ends[1])) > _BOX_TOLERANCE:
            return True
    return False


def _polygon_of(each: DescribedObject, box: Sequence[float], losses: Losses) -> Sequence[float]:
    """The one polygon of an object, the largest of several, the box's corners without any."""
    polygons = [polygon for polygon in each.polygons if len(polygon) >= 2 * FEWEST_CORNERS]
    if polygons:
        losses["masks of several polygons, of which the largest stays"] += len(polygons) > 1
        return max(polygons, key=area_of_polygon)
    what = "run-length masks" if each.segmentation is not None else "objects without a mask"
    losses[f"{what}, which become the corners of their boxes"] += 1
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]
