"""Reports of small data sets, made without a detector and without files of pictures."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.evaluation.analysis.analysis import analyse
from hrdet_cli.engine.evaluation.coco_results import DetectionTable
from hrdet_cli.engine.evaluation.preparation import prepare_comparisons
from hrdet_cli.engine.evaluation.scoring import score_prepared
from hrdet_cli.runs.evaluation_report.report import write_report
from hrdet_cli.runs.evaluation_report.subject import Subject
from hrdet_cli.runs.origin import Origin
from hrdet_cli.runs.suspect_list import SuspectList, read_suspects

WIDTH, HEIGHT = 320, 240


@dataclass(frozen=True)
class Written:
    """A report.

    Attributes:
        page: Its file.
        text: What is in it.
        suspects: The list beside it.
    """

    page: Path
    text: str
    suspects: SuspectList


def content_of(num_pictures: int, class_names: Sequence[str], *, seed: int = 0) -> dict[str, Any]:
    """Pictures with up to seven objects; ids of pictures and classes fall, those of objects are odd."""
    random = np.random.default_rng(seed)
    annotations: list[dict[str, Any]] = []
    for picture in range(num_pictures):
        for _ in range(int(random.integers(8))):
            edges = random.uniform(12, 120, 2)
            corner = random.uniform(0, 1, 2) * ((WIDTH, HEIGHT) - edges)
            annotations.append(
                {
                    "id": 101 + 2 * len(annotations),
                    "image_id": 900 - picture,
                    "category_id": 50 - int(random.integers(len(class_names))),
                    "bbox": [*corner.round(2).tolist(), *edges.round(2).tolist()],
                    "area": float(edges.prod()),
                    "iscrowd": 0,
                }
            )
    return {
        "images": [
            {"id": 900 - number, "file_name": f"{number:03}.jpg", "width": WIDTH, "height": HEIGHT}
            for number in range(num_pictures)
        ],
        "annotations": annotations,
        "categories": [{"id": 50 - number, "name": name} for number, name in enumerate(class_names)],
    }


def load(folder: Path, content: dict[str, Any], *, with_masks: bool = False) -> CocoAnnotations:
    """A file of them, loaded to be scored with."""
    file = folder / "val.json"
    file.write_text(json.dumps(content))
    return load_coco(file, with_truth=True, with_masks=with_masks)


def grey(_: str) -> NDArray[np.uint8]:
    """Any picture."""
    return np.full((HEIGHT, WIDTH, 3), 128, dtype=np.uint8)


def write(folder: Path, annotations: CocoAnnotations, detections: DetectionTable) -> Written:
    """Make a report of detections."""
    prepared = prepare_comparisons(annotations, detections)
    useful_shares = np.linspace(0.6, 1, len(annotations))
    subject = Subject(
        origin=Origin(
            weights="best.pt",
            step=10,
            epoch=1,
            annotations=annotations.path,
            images=folder,
            fingerprint=annotations.fingerprint,
            num_pictures=len(annotations),
        ),
        metrics=score_prepared(prepared, annotations.class_names),
        analyses={task: analyse(one, useful_shares=useful_shares) for task, one in prepared.items()},
        class_names=annotations.class_names,
        notices=("one picture could not be read",),
    )
    page, list_file = write_report(folder / "report.html", subject, annotations=annotations, read=grey)
    return Written(page, page.read_text(), read_suspects(list_file))
