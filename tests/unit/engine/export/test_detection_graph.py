"""The graph that is exported finds, in torch, bit for bit what the detector finds."""

from dataclasses import replace

import pytest
import torch

from hrdet_cli.engine.data.padding import SmallestCanvas
from hrdet_cli.engine.export.check_pictures import draw_picture
from hrdet_cli.engine.export.detection_graph import DetectionGraph, PictureOnCanvas
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.boxes.soft_nms import SoftNms
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import ImageBatch
from tests.two_stage import two_stage


@pytest.mark.parametrize("size", [Size(128, 160), Size(100, 33), Size(97, 161)], ids=str)
@torch.no_grad()
def test_it_finds_what_the_detector_finds(detector: Detector, size: Size) -> None:
    pixels, sizes = PictureOnCanvas()(draw_picture(size))
    found = detector.detect(ImageBatch(pixels, sizes, keys=torch.zeros(1, dtype=torch.int64)))
    is_valid = found.is_valid[0]
    boxes, scores, labels, masks = DetectionGraph(detector)(pixels, sizes)
    assert found.masks is not None
    assert torch.equal(masks, found.masks[0, is_valid])
    assert masks.std() > 0.1
    assert torch.equal(boxes, found.boxes[0, is_valid])
    assert torch.equal(scores, found.scores[0, is_valid])
    assert torch.equal(labels, found.labels[0, is_valid])
    assert len(scores) > 10
    assert len(labels.unique()) > 1
    assert boxes[:, 2].max() <= size.width
    assert boxes[:, 3].max() <= size.height


def test_no_more_than_the_best_are_found(detector: Detector) -> None:
    head = two_stage(detector)
    detector.head = replace(head, selector=replace(head.selector, max_detections=3))
    try:
        with torch.no_grad():
            boxes, scores, _, masks = DetectionGraph(detector)(
                *PictureOnCanvas()(draw_picture(Size(128, 160)))
            )
    finally:
        detector.head = head
    assert boxes.shape == (3, 4)
    assert masks.shape == (3, 28, 28)
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)


def test_without_a_mask_branch_boxes_are_all(detector: Detector) -> None:
    head = two_stage(detector)
    detector.head = replace(head, mask_head=None)
    try:
        with torch.no_grad():
            found = DetectionGraph(detector)(*PictureOnCanvas()(draw_picture(Size(128, 160))))
    finally:
        detector.head = head
    assert len(found) == 3


@pytest.mark.parametrize("height", [1, 31, 64, 65, 97, 200])
@pytest.mark.parametrize("width", [20, 63, 65, 96])
def test_its_canvas_is_that_of_an_evaluation(height: int, width: int) -> None:
    pixels, _ = PictureOnCanvas()(torch.zeros(3, height, width, dtype=torch.uint8))
    canvas = SmallestCanvas().canvas_for([Size(height, width)])
    assert pixels.shape == (1, 3, canvas.height, canvas.width)


def test_a_picture_is_padded_with_zeros_right_and_below() -> None:
    picture = torch.full((3, 33, 64), 7, dtype=torch.uint8)
    pixels, sizes = PictureOnCanvas()(picture)
    assert pixels.shape == (1, 3, 64, 64)
    assert torch.equal(pixels[0, :, :33], picture)
    assert not pixels[0, :, 33:].any()
    assert sizes.tolist() == [[33, 64]]


def test_soft_nms_has_no_graph(detector: Detector) -> None:
    head = two_stage(detector)
    soft = SoftNms(decay="linear", sigma=0.5, min_score=0.05)
    detector.head = replace(head, selector=replace(head.selector, soft_nms=soft))
    try:
        with pytest.raises(ValueError, match="soft-NMS cannot be written as a graph"):
            DetectionGraph(detector)
    finally:
        detector.head = head
