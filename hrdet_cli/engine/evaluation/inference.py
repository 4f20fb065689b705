"""A detector over all pictures of a loader; its boxes go back to where the pictures came from."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypedDict

import torch
from torch import Tensor, nn

from hrdet_cli.engine.data.batch import Batch, PictureRecord
from hrdet_cli.engine.structures import Detections, ImageBatch


class Detector(Protocol):
    """A module that finds boxes, such as ``FasterRCNN``."""

    def detect(self, images: ImageBatch) -> Detections:
        """Detections in canvas pixels, on the pictures' device, without gradients."""

    def eval(self) -> object:
        """Switch to evaluation mode."""

    def modules(self) -> Iterator[nn.Module]:
        """The detector and all modules in it."""


class PictureLoader(Protocol):
    """Where the pictures come from, such as ``EvaluationLoader``."""

    def batches(self) -> Iterable[Batch]:
        """Every picture once, resized, neither cropped nor flipped."""


@dataclass(frozen=True, slots=True, eq=False)
class PictureDetections:
    """What was found in one picture, best first, in host memory.

    Attributes:
        image_id: The picture's id in the annotation file.
        boxes: ``(D, 4)`` float32 in pixels of the original picture, clipped to it.
        scores: ``(D,)`` float32 in [0, 1], descending.
        labels: ``(D,)`` int64 in ``0 .. K-1``.
    """

    image_id: int
    boxes: Tensor
    scores: Tensor
    labels: Tensor


class CocoResult(TypedDict):
    """One detection in COCO's results format."""

    image_id: int
    category_id: int
    bbox: list[float]
    score: float


def detect_all(
    model: Detector, loader: PictureLoader, *, device: torch.device, autocast_dtype: torch.dtype | None
) -> Iterator[PictureDetections]:
    """Detect in every picture of a loader.

    The model is in evaluation mode until the iterator is exhausted or closed; then each of its modules is in
    the mode it was in before.

    Args:
        model: On ``device``.
        loader: Gives the pictures, in host memory.
        device: Where the pictures are copied to.
        autocast_dtype: Reduced precision to compute in; None computes in float32.

    Yields:
        One value per picture, in the loader's order.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        for batch in loader.batches():
            with torch.autocast(device.type, dtype=autocast_dtype, enabled=autocast_dtype is not None):
                detections = model.detect(batch.images.to(device))
            yield from _detections_by_picture(detections.cpu(), batch.records)
    finally:
        for module, mode in modes:
            module.training = mode


def to_coco_results(pictures: Iterable[PictureDetections], category_ids: Sequence[int]) -> list[CocoResult]:
    """Write detections in COCO's results format.

    Coordinates are rounded to a thousandth of a pixel, which halves the file and is far below what a metric
    can see. Scores keep every digit: their order, ties included, is what average precision depends on.

    Args:
        pictures: In any order.
        category_ids: Category id in the annotation file of each of the K labels.

    Returns:
        Results that ``json.dump`` takes: by image id, and within a picture best first.
    """
    return [
        {
            "image_id": picture.image_id,
            "category_id": category_ids[label],
            "bbox": [round(x1, 3), round(y1, 3), round(x2 - x1, 3), round(y2 - y1, 3)],
            "score": score,
        }
        for picture in sorted(pictures, key=lambda picture: picture.image_id)
        for (x1, y1, x2, y2), score, label in zip(
            picture.boxes.tolist(), picture.scores.tolist(), picture.labels.tolist(), strict=True
        )
    ]


def _detections_by_picture(
    detections: Detections, records: Sequence[PictureRecord]
) -> Iterator[PictureDetections]:
    """Take a batch apart, drop the padding rows and undo each picture's resize."""
    for row, record in enumerate(records):
        is_valid = detections.is_valid[row]
        edges = torch.tensor([record.original.width, record.original.height] * 2)
        boxes = detections.boxes[row, is_valid] / torch.tensor(record.scale_xy * 2)
        yield PictureDetections(
            image_id=record.image_id,
            boxes=boxes.clamp(min=torch.zeros(()), max=edges.float()),
            scores=detections.scores[row, is_valid],
            labels=detections.labels[row, is_valid],
        )
