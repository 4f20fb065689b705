"""Results of evaluations by hand, as `hrdet eval` leaves them."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.evaluation.coco_results import CocoResult
from hrdet_cli.runs.output_files import write_json
from tests.detection_tables import score_detections, table_of

NUM_PICTURES, EDGE = 12, 100
CLASSES = {7: "cat", 3: "dog", 5: "never there"}


def write_data(folder: Path) -> Path:
    """Annotations of twelve pictures with a cat and a dog each, and the pictures; returns the file."""
    (folder / "images").mkdir(parents=True)
    boxes = {7: [10, 10, 40, 40], 3: [60, 55, 30, 40]}
    document: dict[str, Any] = {
        "images": [
            {"id": 100 - number, "file_name": f"{number}.png", "width": EDGE, "height": EDGE}
            for number in range(NUM_PICTURES)
        ],
        "categories": [{"id": number, "name": name} for number, name in CLASSES.items()],
        "annotations": [
            {"id": 2 * number + place + 1, "image_id": 100 - number, "category_id": kind, "bbox": box}
            for number in range(NUM_PICTURES)
            for place, (kind, box) in enumerate(boxes.items())
        ],
    }
    for image in document["images"]:
        colour = (40, image["id"], 90)
        Image.new("RGB", (EDGE, EDGE), colour).save(folder / "images" / image["file_name"])
    write_json(folder / "val.json", document)
    return folder / "val.json"


def detections(data: Path, is_found: Callable[[int, int], bool]) -> list[CocoResult]:
    """The true boxes that a detector finds, with scores that fall, and one false dog in the first picture.

    Args:
        data: The annotations.
        is_found: Of the number of a picture and the id of a class.
    """
    truth = json.loads(data.read_text())["annotations"]
    found = [
        CocoResult(image_id=one["image_id"], category_id=one["category_id"], bbox=one["bbox"], score=0.9)
        for one in truth
        if is_found(100 - one["image_id"], one["category_id"])
    ]
    false = CocoResult(image_id=100, category_id=3, bbox=[0, 0, 20, 20], score=0.5)
    return [*found, false]


def write_results(
    folder: Path, data: Path, results: Sequence[CocoResult], *, made_from: Mapping[str, Any] | None = None
) -> Path:
    """``metrics.json`` and ``detections.json``; returns the folder."""
    annotations = load_coco(data, with_truth=True)
    metrics = score_detections(annotations, table_of(annotations, results))
    document = {
        "made_from": {
            "weights": "best.pt",
            "step": 10,
            "epoch": 2,
            "annotations": str(data),
            "split": None,
            "annotations_sha256": annotations.fingerprint,
            "images": str(data.parent / "images"),
            "num_pictures": len(annotations),
            "changes": {},
            **(made_from or {}),
        },
        **metrics.to_json(),
    }
    write_json(folder / "metrics.json", document)
    write_json(folder / "detections.json", list(results))
    return folder


def write_run(
    folder: Path, data: Path, results: Sequence[CocoResult], *, spec: str, aps: Sequence[float]
) -> Path:
    """A run folder with its spec, its record, its losses and the evaluation of its best checkpoint."""
    folder.mkdir()
    (folder / "spec.yaml").write_text(spec)
    (folder / "run.json").write_text(json.dumps({"launches": [{"plan": {"steps_per_epoch": 5}}]}))
    lines: list[dict[str, Any]] = []
    for epoch, ap in enumerate(aps, start=1):
        lines += [
            {
                "kind": "step",
                "epoch": epoch,
                "step": step,
                "loss": 3 / step,
                "losses": {},
                "learning_rate": 0.1,
            }
            for step in range(5 * epoch - 4, 5 * epoch + 1)
        ]
        lines.append({"kind": "evaluation", "epoch": epoch, "step": 5 * epoch, "box": {"AP": ap}})
    (folder / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    write_results(folder / "eval-best", data, results)
    return folder


def share(numbers: float) -> Callable[[int, int], bool]:
    """Finds both objects in a share of the pictures."""
    return lambda number, _: number < numbers * NUM_PICTURES
