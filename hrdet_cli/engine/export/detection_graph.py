"""What an exported file computes: one picture in, its detections out, without a loop or a choice on the way.

Everything up to the scores is the detector's own code, which torch traces as it is. Only the selection at the
end is another: the detector's has a fixed number of rows, and a graph puts out those that are detections.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.data.padding import MIN_CANVAS_PIXELS
from hrdet_cli.engine.geometry import CANVAS_DIVISOR_PIXELS
from hrdet_cli.engine.models.boxes.nms import keep_after_nms
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import Candidates, Detections, ImageBatch


class PictureOnCanvas(nn.Module):
    """Puts a picture on the smallest canvas, as evaluation does."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Pad on the right and below.

        Args:
            image: ``(3, H, W)`` uint8.

        Returns:
            Pixels ``(1, 3, H', W')`` uint8, and the size ``(1, 2)`` int64 of the picture among them.
        """
        height, width = image.shape[-2:]
        pixels = F.pad(image, (0, _padding(width), 0, _padding(height)))
        return pixels[None], torch.tensor([[height, width]])


def _padding(side: int) -> int:
    """How many pixels a side lacks; a symbol where the side is one."""
    return cast("int", torch.sym_max(MIN_CANVAS_PIXELS - side, -side % CANVAS_DIVISOR_PIXELS))


class DetectionGraph(nn.Module):
    """A detector for one picture; what it finds is what ``Detector.detect`` finds."""

    def __init__(self, detector: Detector) -> None:
        """Wrap a detector, which is not copied.

        Args:
            detector: In evaluation mode.

        Raises:
            ValueError: It selects by soft-NMS, whose boxes wait for each other.
        """
        super().__init__()
        if detector.head.selector.soft_nms is not None:
            raise ValueError("soft-NMS cannot be written as a graph")
        self.detector = detector

    def forward(self, pixels: Tensor, sizes: Tensor) -> tuple[Tensor, ...]:
        """Detect.

        Args:
            pixels: ``(1, 3, H, W)`` uint8 RGB, H and W multiples of 32.
            sizes: ``(1, 2)`` int64, height and width of the picture.

        Returns:
            Boxes ``(D, 4)`` float32 in canvas pixels, clipped to the picture; scores ``(D,)`` float32,
            descending; labels ``(D,)`` int64; of a detector with masks ``(D, m, m)`` float32 in [0, 1], each
            in the frame of its box.
        """
        images = ImageBatch(pixels, sizes, keys=torch.zeros(1, dtype=torch.int64))
        head, pyramid = self.detector.head, self.detector.pyramid(images)
        boxes, scores, labels = _select(head.selector, head.candidates(pyramid, sizes), sizes)
        is_valid = torch.ones_like(labels, dtype=torch.bool)
        found = Detections(boxes[None], scores[None], labels[None], is_valid[None])
        masks = head.complete(pyramid, found).masks
        return (boxes, scores, labels) if masks is None else (boxes, scores, labels, masks[0])


def _select(
    selector: DetectionSelector, candidates: Candidates, sizes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What ``selector.select`` finds in one picture."""
    boxes, is_left = selector.clipping.clip(candidates.boxes, sizes)
    scores = candidates.scores
    boxes = boxes.expand(*scores.shape, 4)
    scores = scores.where((scores > selector.score_threshold) & is_left, -torch.inf)
    places = [scores.shape[1]]
    keep = keep_after_nms(boxes[0].transpose(0, 1), scores[0].T, lengths=places, max_iou=selector.nms_iou)
    region, label = keep.T.nonzero(as_tuple=True)
    found = scores[0, region, label]
    order = found.argsort(descending=True, stable=True)[: selector.max_detections]
    region, label = region[order], label[order]
    return boxes[0, region, label], found[order], label
