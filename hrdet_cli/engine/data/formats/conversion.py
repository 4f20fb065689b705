"""Annotations between formats: what all of them can say, and a count of what is lost."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from hrdet_cli.engine.data.annotation_file import KEYS_BY_LIST
from hrdet_cli.engine.data.checking.annotations import CheckedFile
from hrdet_cli.engine.data.formats.reading import COORDINATE_DECIMALS
from hrdet_cli.engine.data.lvis import NEGATIVES, NOT_EXHAUSTIVE
from hrdet_cli.engine.geometry import Size

_AREA_TOLERANCE = 0.01  # square pixels: shares have been multiplied
LOOKED_THROUGH = "pictures of LVIS that say for which classes they were looked through"
"""What of LVIS's JSON no other format says."""

_KEYS_OF_LVIS = {NEGATIVES, NOT_EXHAUSTIVE}
_KEYS_OF_PICTURES = {"id", "file_name", "width", "height", *_KEYS_OF_LVIS}
_KEYS_OF_OBJECTS = {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"}
_KEYS_OF_CLASSES = {"id", "name", "supercategory"}

Losses = Counter[str]
"""How many things a format has no place for, by what they are and what became of them."""


@dataclass(frozen=True, slots=True)
class DescribedObject:
    """An object of a picture.

    Attributes:
        label: Index of its class.
        box: COCO's ``[x, y, width, height]`` in pixels.
        is_crowd: Whether it is a region that is neither to be found nor a fault if it is.
        segmentation: As COCO has it, polygons or run lengths; None without one.
        area: In square pixels; None where nobody says.
    """

    label: int
    box: Sequence[float]
    is_crowd: bool
    segmentation: Any
    area: float | None

    def has_other_area(self, area: float) -> bool:
        """Whether its area is said to be another one than is found when it is read again."""
        return self.area is not None and abs(self.area - area) > _AREA_TOLERANCE

    @property
    def polygons(self) -> list[list[float]]:
        """Its polygons; none where it has run lengths or nothing."""
        return self.segmentation if isinstance(self.segmentation, list) else []


@dataclass(frozen=True, slots=True)
class DescribedPicture:
    """A picture with its objects, in their order."""

    file_name: str
    size: Size
    objects: Sequence[DescribedObject]


@dataclass(frozen=True, slots=True)
class DescribedPart:
    """A part of a data set.

    Attributes:
        name: ``train``, ``val`` and the like.
        class_names: By label.
        pictures: In their order.
    """

    name: str
    class_names: tuple[str, ...]
    pictures: Sequence[DescribedPicture]

    @property
    def num_objects(self) -> int:
        """Crowd regions are some."""
        return sum(len(picture.objects) for picture in self.pictures)

    def with_classes(self, names: Sequence[str]) -> Self:
        """The same with its classes in another order."""
        label_by_name = {name: label for label, name in enumerate(names)}
        new_labels = [label_by_name[name] for name in self.class_names]
        pictures = [
            replace(one, objects=[replace(each, label=new_labels[each.label]) for each in one.objects])
            for one in self.pictures
        ]
        return replace(self, class_names=tuple(names), pictures=pictures)


def describe_part(file: CheckedFile, name: str) -> DescribedPart:
    """What a file says that has no errors."""
    annotations, pictures = file.annotations, file.pictures
    objects: list[list[DescribedObject]] = [[] for _ in pictures.names]
    for row in np.flatnonzero(annotations.has_box).tolist():
        value = annotations.entries.value
        objects[annotations.picture_rows[row]].append(
            DescribedObject(
                label=int(annotations.labels[row]),
                box=value(row, "bbox"),
                is_crowd=bool(annotations.is_crowd[row]),
                segmentation=value(row, "segmentation") or None,
                area=value(row, "area"),
            )
        )
    sizes = [Size(height, width) for height, width in pictures.sizes.tolist()]
    return DescribedPart(
        name,
        tuple(class_name for _, class_name in file.categories),
        [
            DescribedPicture(file_name or "", size, of_picture)
            for file_name, size, of_picture in zip(pictures.names, sizes, objects, strict=True)
        ],
    )


def losses_of(file: CheckedFile) -> Losses:
    """What COCO's JSON alone says: ids other than 1, 2, 3 and so on, groups, what is LVIS's, other keys."""
    losses = Losses()
    given = {
        "picture": file.pictures.ids.tolist(),
        "object": file.annotations.ids.tolist(),
        "class": [number for number, _ in file.categories],
    }
    for noun, ids in given.items():
        num_others = sum(number != place for place, number in enumerate(ids, start=1))
        if num_others:
            losses[f"{noun} ids, which become others: 1, 2, 3 and so on"] = num_others
    losses["supercategories"] = sum(bool(item.get("supercategory")) for item in file.kinds.items)
    losses[LOOKED_THROUGH] = sum(not _KEYS_OF_LVIS.isdisjoint(item) for item in file.pictures.entries.items)
    lists: dict[str, tuple[Sequence[Any], set[str]]] = {
        "files": ([file.content], set(KEYS_BY_LIST)),
        "pictures": (file.pictures.entries.items, _KEYS_OF_PICTURES),
        "objects": (file.annotations.entries.items, _KEYS_OF_OBJECTS),
        "classes": (file.kinds.items, _KEYS_OF_CLASSES),
    }
    for noun, (items, known) in lists.items():
        said = Counter(key for item in items for key in item if key not in known and item[key])
        for key, count in said.items():
            losses[f"{noun} with {key!r:.40}"] = count
    return +losses


def document_of_lvis(file: CheckedFile) -> Mapping[str, Any]:
    """LVIS's JSON as COCO's: all that it says, but for which classes its pictures were looked through."""
    images = [
        {key: value for key, value in item.items() if key not in _KEYS_OF_LVIS}
        for item in file.pictures.entries.items
    ]
    annotations = [{**item, "iscrowd": item.get("iscrowd", 0)} for item in file.annotations.entries.items]
    return {**file.content, "images": images, "annotations": annotations}


def coco_document(part: DescribedPart) -> Mapping[str, Any]:
    """A part as COCO's document, with ``area`` and ``iscrowd``, which other readers want.

    An area that nobody says is that of the polygons, or the box's.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, picture in enumerate(part.pictures, start=1):
        height, width = picture.size.height, picture.size.width
        images.append({"id": image_id, "file_name": picture.file_name, "height": height, "width": width})
        for each in picture.objects:
            entry: dict[str, Any] = {
                "id": len(annotations) + 1,
                "image_id": image_id,
                "category_id": each.label + 1,
                "bbox": list(each.box),
                "area": _area_of(each),
                "iscrowd": int(each.is_crowd),
            }
            if each.segmentation is not None:
                entry["segmentation"] = each.segmentation
            annotations.append(entry)
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(part.class_names)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _area_of(each: DescribedObject) -> float:
    if each.area is not None:
        return each.area
    if each.polygons:
        return round(sum(map(area_of_polygon, each.polygons)), COORDINATE_DECIMALS)
    return round(each.box[2] * each.box[3], COORDINATE_DECIMALS)


def area_of_polygon(polygon: Sequence[float]) -> float:
    """What ``x1, y1, x2, y2, ...`` enclose, by the shoelace formula."""
    x, y = np.array(polygon[::2]), np.array(polygon[1::2])
    return float(abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2)
