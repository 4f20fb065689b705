"""Reports of whole evaluations, of data in each format and over tiles and several views of a picture."""

import io
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from torch import nn

from hrdet_cli.cli.display.suspects import print_review
from hrdet_cli.engine.data.formats.source import CocoFile
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import Detections, ImageBatch
from hrdet_cli.runs.convert import convert_data
from hrdet_cli.runs.dataset.opening import open_part
from hrdet_cli.runs.evaluation.detection import evaluate_detector
from hrdet_cli.runs.evaluation.result_files import Results
from hrdet_cli.runs.evaluation.scores import Evaluation
from hrdet_cli.runs.origin import Origin
from hrdet_cli.runs.suspect_list import SuspectList, read_suspects
from hrdet_cli.runs.suspect_review import review_suspects
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import load_spec
from tests.generators import result_of
from tests.unit.pages.document import Document

BRIGHT = {"a.png": (60, 40, 120, 100), "b.png": (5, 8, 45, 58), "c.png": (80, 10, 120, 50)}
"""The one object of each picture: x1, y1, x2, y2. A tile of 128 cuts the first one."""
SIZES = {"a.png": (200, 150), "b.png": (150, 200), "c.png": (200, 60)}
BESIDE = (80, 10, 100, 35)
"""Where the last one is annotated, with less than a third of its area."""
TILES = "data.tiles={side_pixels: 128, overlap_pixels: 64}"
TWO_SCALES_AND_MIRRORED = "evaluation.test_time_augmentation={scales_pixels: [[160, 128], [224, 160]]}"


class BrightFinder(nn.Module):
    """Finds what is bright in each picture, with a score of 0.9."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def for_detection(self) -> "BrightFinder":
        return self

    def detect(self, images: ImageBatch) -> Detections:
        num = len(images.keys)
        boxes, is_valid = torch.zeros(num, 1, 4), torch.zeros(num, 1, dtype=torch.bool)
        for row, pixels in enumerate(images.pixels):
            y, x = (pixels.float().mean(0) > 128).nonzero(as_tuple=True)
            if len(x):
                edges = [x.min(), y.min(), x.max() + 1, y.max() + 1]
                boxes[row, 0], is_valid[row] = torch.tensor(edges), True
        return Detections(boxes, 0.9 * is_valid, torch.zeros(num, 1, dtype=torch.int64), is_valid)


class BlindFinder(BrightFinder):
    """Finds nothing, for its weights are no numbers."""

    def __init__(self) -> None:
        super().__init__()
        nn.init.constant_(self.unused, torch.nan)

    def detect(self, images: ImageBatch) -> Detections:
        found = super().detect(images)
        return Detections(found.boxes, found.scores, found.labels, torch.zeros_like(found.is_valid))


def entry_of(number: int, box: tuple[int, int, int, int]) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    sides = x2 - x1, y2 - y1
    return {
        "id": 70 + number,
        "image_id": number,
        "category_id": 1,
        "bbox": [x1, y1, *sides],
        "area": sides[0] * sides[1],
        "iscrowd": 0,
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A COCO file of three pictures, the last of which is annotated wrongly."""
    (tmp_path / "images").mkdir()
    images = []
    for number, (name, (width, height)) in enumerate(SIZES.items(), start=1):
        x1, y1, x2, y2 = BRIGHT[name]
        pixels = np.zeros((height, width, 3), dtype=np.uint8)
        pixels[y1:y2, x1:x2] = 255
        Image.fromarray(pixels).save(tmp_path / "images" / name)
        images.append({"id": number, "file_name": name, "width": width, "height": height})
    boxes = [*list(BRIGHT.values())[:2], BESIDE]
    content = {
        "images": images,
        "annotations": [entry_of(number, box) for number, box in enumerate(boxes, start=1)],
        "categories": [{"id": 1, "name": "lamp"}],
    }
    (tmp_path / "val.json").write_text(json.dumps(content))
    return tmp_path / "val.json"


def spec_of(source: Path, *settings: str) -> ExperimentSpec:
    images = "" if source.suffix != ".json" else str(source.parent / "images")
    names = {"demo": "null", "val": json.dumps({"annotations": str(source), "images": images or None})}
    few = [
        "evaluation.scale_pixels=[256, 192]",
        "data.num_workers=0",
        "run.device=cpu",
        *(f"data.{key}={value}" for key, value in names.items()),
    ]
    return load_spec(preset="demo", settings=[*few, *settings]).spec


def evaluate(spec: ExperimentSpec, out: Path, detector: nn.Module) -> Evaluation:
    part = open_part(spec.data, "val", is_scored=True)
    annotations = part.annotations
    origin = Origin(
        weights="best.pt",
        step=None,
        epoch=None,
        annotations=annotations.path,
        split=annotations.split,
        images=part.located.images,
        fingerprint=annotations.fingerprint,
        num_pictures=len(annotations),
    )
    work = evaluate_detector(
        cast("Detector", detector),
        spec,
        part,
        class_names=["lamp"],
        device=torch.device("cpu"),
        results=Results(origin=origin, folder=out, report=Path("report.html")),
    )
    return result_of(work)


def suspects_of(spec: ExperimentSpec, out: Path) -> SuspectList:
    evaluate(spec, out, BrightFinder())
    return read_suspects(out / "report.suspects.json")


@pytest.mark.parametrize(
    "views", [(), (TILES,), (TWO_SCALES_AND_MIRRORED,), (TILES, TWO_SCALES_AND_MIRRORED)]
)
def test_whatever_a_picture_is_seen_in_the_report_is_of_pictures(
    data: Path, tmp_path: Path, views: tuple[str, ...]
) -> None:
    spec = spec_of(data, *views)
    (suspect,) = suspects_of(spec, tmp_path / "out").suspects
    assert (suspect.kind, suspect.file_name) == ("place", "c.png")
    assert suspect.annotation is not None
    assert (suspect.annotation.id, suspect.annotation.place) == (73, None)
    assert suspect.detection is not None
    assert suspect.detection.box == pytest.approx((80, 10, 40, 40), abs=1.5)
    texts = Document((tmp_path / "out" / "report.html").read_text()).texts
    assert "c.png: 1 of 1 object missed, 1 false" in texts
    assert ("By useful pixels of the canvas" in texts) == (views != (TILES,)), (
        "square tiles fill theirs alike"
    )
    assert not any(text.startswith(("a.png:", "b.png:")) for text in texts)


@pytest.mark.parametrize(
    ("to", "place", "before", "after"),
    [
        ("yolo", "labels/val/c.txt: line 1", "0.45 0.375 0.1", "0.5 0.375 0.2"),
        ("voc", "Annotations/c.xml: object 1 (lamp)", "<xmax>100", "<xmax>120"),
    ],
)
def test_suspects_of_other_formats_are_told_and_settled_in_their_own_files(
    data: Path, tmp_path: Path, to: Any, place: str, before: str, after: str
) -> None:
    source = CocoFile(data, data.parent / "images")
    result_of(convert_data({"val": source}, to=to, out=tmp_path / "other"))
    spec = spec_of(tmp_path / "other" / "data.yaml" if to == "yolo" else tmp_path / "other")
    (suspect,) = suspects_of(spec, tmp_path / "out").suspects
    assert suspect.annotation is not None
    assert suspect.annotation.place == place

    list_file = tmp_path / "out" / "report.suspects.json"
    review = result_of(review_suspects(list_file, annotations=None, images=None, split=None))
    printed = io.StringIO()
    print_review(review, Console(file=printed, width=120), num_shown=None)
    row = f"1 {suspect.file_name} {place} lamp 0.90 is detected beside the box"
    assert row in " ".join(printed.getvalue().split())

    file = tmp_path / "other" / place.partition(":")[0]
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after))
    review = result_of(review_suspects(list_file, annotations=None, images=None, split=None))
    assert [one.settled for one in review.suspects] == [f"the annotation ({place}) is no longer as it was"]
    assert review.page is None


def test_that_nothing_is_found_is_said_with_what_is_wrong_with_the_weights(
    data: Path, tmp_path: Path
) -> None:
    evaluation = evaluate(spec_of(data), tmp_path / "out", BlindFinder())
    (notice,) = evaluation.notices()
    assert notice == (
        "nothing was detected in 3 pictures: of the weights 1 tensor holds NaN, infinity or a negative "
        "variance: unused (1 NaN of 1)"
    )
    texts = Document((tmp_path / "out" / "report.html").read_text()).texts
    assert {notice, "Nothing was detected."} <= set(texts)
    found = evaluate(spec_of(data), tmp_path / "found", BrightFinder())
    assert list(found.notices()) == []
