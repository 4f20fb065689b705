"""``detections.json``: what was found, in COCO's format."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hrdet_cli.engine.data.run_lengths import unpack_run_lengths
from hrdet_cli.engine.evaluation.coco_results import CocoResult, DetectionTable
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.geometry import Size
from hrdet_cli.runs.trained_detector.detector import TrainedDetector


@dataclass(frozen=True, slots=True, eq=False)
class PredictedPicture:
    """A picture that was looked at.

    Attributes:
        name: What results call it.
        size: As it is looked at, EXIF's orientation applied.
        detections: Those with a sufficient score; boxes in its pixels.
        drawn: The drawn picture, relative to the folder of results.
    """

    name: str
    size: Size
    detections: PictureDetections
    drawn: str


@dataclass(frozen=True, slots=True)
class FailedPicture:
    """A picture that could not be read, and why."""

    number: int
    name: str
    reason: str


def coco_document(
    trained: TrainedDetector,
    pictures: Sequence[PredictedPicture],
    failed: Sequence[FailedPicture],
    *,
    min_score: float,
) -> dict[str, Any]:
    """A COCO annotation file whose annotations are detections, each with a ``score``.

    It can be read as annotations; its list of annotations is one in COCO's results format, with areas and
    ids besides. Where masks were looked for, areas are theirs, else those of boxes. Images have ``drawn``,
    the drawn picture, and ``failed`` lists those that could not be read.

    Args:
        trained: Gives the classes.
        pictures: In the order of their ids.
        failed: Likewise.
        min_score: Detections have at least this score.
    """
    category_ids = trained.ids_in_results
    results = DetectionTable.of([picture.detections for picture in pictures]).results(category_ids)
    return {
        "info": {"description": f"detections of {trained.source}", "min_score": min_score},
        "images": [
            {
                "id": picture.detections.image_id,
                "file_name": picture.name,
                "width": picture.size.width,
                "height": picture.size.height,
                "drawn": picture.drawn,
            }
            for picture in pictures
        ],
        "categories": [
            {"id": number, "name": name}
            for number, name in zip(category_ids, trained.class_names, strict=True)
        ],
        "annotations": [
            {**result, "id": number, "area": _area(result), "iscrowd": 0}
            for number, result in enumerate(results, start=1)
        ],
        "failed": [{"file_name": picture.name, "reason": picture.reason} for picture in failed],
    }


def _area(result: CocoResult) -> float:
    if "segmentation" in result:
        return int(unpack_run_lengths(result["segmentation"]["counts"].encode())[1::2].sum())
    _, _, width, height = result["bbox"]
    return round(width * height, 3)
