"""Runs that are planned on annotations by hand, of which no picture is there."""

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import MappingProxyType

import numpy as np

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.formats.source import CocoFile
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.runs.dataset.location import LocatedPart
from hrdet_cli.runs.dataset.part import DatasetPart, TrainingData
from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.planning import make_plan
from hrdet_cli.specs.data import PartName
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.loading import LoadedSpec, load_spec

CLASSES = ("cat", "dog")


@cache
def make_annotations(
    num_pictures: int,
    *,
    name: str = "train",
    size: tuple[int, int] = (480, 640),
    side: float = 60.0,
    boxes_a_picture: int = 4,
    empty: int = 0,
    classes: tuple[str, ...] = CLASSES,
    labels: tuple[int, ...] = (0, 1),
) -> CocoAnnotations:
    """Pictures of one size, each with boxes of one size in a row; the last ``empty`` have none.

    The same for the same arguments: nobody changes them.
    """
    counts = [boxes_a_picture] * (num_pictures - empty) + [0] * empty
    num_boxes = sum(counts)
    left = np.tile(np.linspace(0, size[1] - side, boxes_a_picture), num_pictures - empty)
    top = np.full(num_boxes, (size[0] - side) / 2)
    return CocoAnnotations(
        path=Path(f"{name}.json"),
        fingerprint=name,
        image_ids=np.arange(num_pictures),
        file_names=np.array([f"{name}-{index}.jpg" for index in range(num_pictures)]),
        sizes=np.array([size] * num_pictures, dtype=np.int32),
        offsets=np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]),
        boxes=np.stack([left, top, left + side, top + side], axis=1).astype(np.float32),
        labels=np.resize(labels, num_boxes).astype(np.int64),
        is_crowd=np.zeros(num_boxes, dtype=bool),
        class_names=classes,
        category_ids=tuple(range(1, len(classes) + 1)),
        dropped_boxes={},
    )


TRAIN, VAL = make_annotations(1000), make_annotations(200, name="val")


def plan_of(
    tmp_path: Path,
    *settings: str,
    preset: str = "hrnet-w18-mstrain-pad",
    train: CocoAnnotations = TRAIN,
    val: CocoAnnotations | None = VAL,
    num_processes: int = 1,
    loaded: LoadedSpec | None = None,
    joined_roots: Mapping[str, Path] = MappingProxyType({}),
) -> Plan:
    parts = {name: {"annotations": f"{name}.json", "images": f"{name}-images"} for name in ("train", "val")}
    layer = Layer("test", {"data": {"demo": None, **parts}})
    loaded = loaded or load_spec(preset=preset, extra_layers=[layer], settings=settings)

    def part_of(annotations: CocoAnnotations, name: PartName) -> DatasetPart:
        root = loaded.spec.data.locate(name).images or Path()
        return DatasetPart(annotations, open_images(tmp_path), LocatedPart(CocoFile(annotations.path), root))

    trained = replace(part_of(train, "train"), joined_roots=joined_roots)
    data = TrainingData(trained, None if val is None else part_of(val, "val"))
    return make_plan(loaded, data, num_processes=num_processes)
