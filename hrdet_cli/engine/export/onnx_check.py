"""Whether an ONNX model finds what the detector it was made from finds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrdet_cli.engine.export.detection_graph import PictureOnCanvas
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import ImageBatch

_MAX_BOX_DIFFERENCE_PIXELS = 0.1
_MAX_SCORE_DIFFERENCE = 0.005
_MAX_MASK_DIFFERENCE = 0.01
_MAX_SHARE_WITHOUT_COUNTERPART = 0.05
_ERRORS_ONLY = 3


@dataclass(frozen=True, slots=True)
class Agreement:
    """What both found in one picture.

    The two compute alike but for rounding, which now and then decides which of two overlapping boxes is
    dropped. So a few detections may lack a counterpart: one of the same label with nearly their box, score
    and mask.

    Attributes:
        size: Of the picture.
        num_detections: Of the detector.
        num_exported: Of the exported model.
        num_alone: Detections of either without a counterpart.
        box_difference_pixels: Largest difference of a coordinate between counterparts.
        score_difference: Largest difference of scores between them.
        mask_difference: Largest mean difference of the cells of their masks; None where there are none.
    """

    size: Size
    num_detections: int
    num_exported: int
    num_alone: int
    box_difference_pixels: float
    score_difference: float
    mask_difference: float | None

    @property
    def is_close(self) -> bool:
        """Whether at most one detection in twenty, of both together, has no counterpart."""
        num_in_all = self.num_detections + self.num_exported
        return self.num_alone <= _MAX_SHARE_WITHOUT_COUNTERPART * num_in_all


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: NDArray[np.float32] | None


def compare_with_onnxruntime(
    model: bytes, detector: Detector, pictures: Sequence[Tensor]
) -> Iterator[Agreement]:
    """Run both on the CPU.

    Args:
        model: The ONNX model.
        detector: What it was made from, in evaluation mode.
        pictures: ``(3, H, W)`` uint8 RGB each.

    Yields:
        An agreement, or the lack of one, for each picture.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    for picture in pictures:
        boxes, scores, labels, *masks = session.run(None, {"image": picture.numpy()})
        theirs = _Found(boxes, scores, labels, masks[0] if masks else None)
        yield _agreement(picture, _detect(detector, picture), theirs)


def _detect(detector: Detector, picture: Tensor) -> _Found:
    """By the detector's own way, not by the graph that was exported."""
    pixels, sizes = PictureOnCanvas()(picture)
    found = detector.detect(ImageBatch(pixels, sizes, keys=torch.zeros(1, dtype=torch.int64)))
    is_valid = found.is_valid[0]
    return _Found(
        boxes=found.boxes[0, is_valid].numpy(),
        scores=found.scores[0, is_valid].numpy(),
        labels=found.labels[0, is_valid].numpy(),
        masks=None if found.masks is None else found.masks[0, is_valid].numpy(),
    )


def _agreement(picture: Tensor, ours: _Found, theirs: _Found) -> Agreement:
    """Pair detections, the best first, each with the nearest box of its label that is still to be had."""
    box_differences = np.abs(ours.boxes[:, None] - theirs.boxes).max(axis=-1)
    score_differences = np.abs(ours.scores[:, None] - theirs.scores)
    mask_differences = _mask_differences(ours, theirs)
    is_counterpart = (
        (ours.labels[:, None] == theirs.labels)
        & (box_differences <= _MAX_BOX_DIFFERENCE_PIXELS)
        & (score_differences <= _MAX_SCORE_DIFFERENCE)
        & (mask_differences <= _MAX_MASK_DIFFERENCE)
    )
    distances = np.where(is_counterpart, box_differences, np.inf)
    pairs: list[tuple[int, int]] = []
    for row in range(len(ours.scores)):
        if np.isfinite(distances[row]).any():
            column = int(distances[row].argmin())
            distances[:, column] = np.inf
            pairs.append((row, column))
    return Agreement(
        size=Size(picture.shape[1], picture.shape[2]),
        num_detections=len(ours.scores),
        num_exported=len(theirs.scores),
        num_alone=len(ours.scores) + len(theirs.scores) - 2 * len(pairs),
        box_difference_pixels=max((float(box_differences[pair]) for pair in pairs), default=0.0),
        score_difference=max((float(score_differences[pair]) for pair in pairs), default=0.0),
        mask_difference=None
        if ours.masks is None
        else max((float(mask_differences[pair]) for pair in pairs), default=0.0),
    )


def _mask_differences(ours: _Found, theirs: _Found) -> NDArray[np.float32]:
    """Mean over the cells for each pair of detections: 0 without masks, infinite where only one has some."""
    shape = len(ours.scores), len(theirs.scores)
    if ours.masks is None or theirs.masks is None:
        is_same = ours.masks is theirs.masks
        return np.full(shape, 0.0 if is_same else np.inf, dtype=np.float32)
    rows = [np.abs(mask - theirs.masks).mean(axis=(1, 2)) for mask in ours.masks]
    return np.array(rows, dtype=np.float32).reshape(shape)
