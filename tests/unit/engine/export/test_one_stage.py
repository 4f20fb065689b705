"""Dense heads in onnxruntime, behind a trunk of one convolution and an average."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.export.check_pictures import draw_picture
from hrdet_cli.engine.export.detection_graph import DetectionGraph, PictureOnCanvas
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.one_stage import OneStageHead
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import ImageBatch
from tests.dense_heads import CHANNELS, make_fcos_head, make_lively, make_retina_head

STRIDES = (8, 16)
"""Exporting takes time for each operator; two levels have all that more have."""
SELECTOR = DetectionSelector(score_threshold=0.05, nms_iou=0.5, max_detections=40)


class OneConvolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, CHANNELS, 8, stride=8)

    def forward(self, pixels: Tensor, area: ValidArea | None) -> Tensor:  # noqa: ARG002
        found: Tensor = self.conv(pixels)
        return found


class Averages(nn.Module):
    def forward(self, finest: Tensor, area: ValidArea | None) -> Pyramid:
        levels = [F.avg_pool2d(finest, stride // 8) * (stride // 8) for stride in STRIDES]
        return Pyramid(tuple(levels), strides=STRIDES, area=area)


def make_detector(kind: str) -> Detector:
    make_head = make_retina_head if kind == "retinanet" else make_fcos_head
    dense = make_head(num_candidates=60, strides=STRIDES)
    make_lively(dense)
    selector = SELECTOR if kind == "retinanet" else replace(SELECTOR, score_threshold=0.0)
    return Detector(
        backbone=OneConvolution(),
        neck=Averages(),
        head=OneStageHead(name="dense", dense=dense, selector=selector),
        pixel_mean=(110.0, 110.0, 110.0),
        pixel_std=(100.0, 100.0, 100.0),
    ).eval()


@pytest.mark.parametrize("kind", ["retinanet", "fcos"])
@torch.no_grad()
def test_the_graph_finds_what_the_detector_finds(kind: str) -> None:
    detector = make_detector(kind)
    pixels, sizes = PictureOnCanvas()(draw_picture(Size(100, 161)))
    found = detector.detect(ImageBatch(pixels.clone(), sizes, keys=torch.zeros(1, dtype=torch.int64)))
    boxes, scores, labels = DetectionGraph(detector)(pixels, sizes)
    is_valid = found.is_valid[0]
    assert torch.equal(boxes, found.boxes[0, is_valid])
    assert torch.equal(scores, found.scores[0, is_valid])
    assert torch.equal(labels, found.labels[0, is_valid])
    assert len(scores) > 10
    assert len(set(labels.tolist())) > 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["retinanet", "fcos"])
def test_onnxruntime_finds_the_same_on_all_canvases(kind: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason='needs the extra "export"')
    pytest.importorskip("onnxscript", reason='needs the extra "export"')
    from hrdet_cli.engine.export.onnx_model import build_onnx_model

    detector = make_detector(kind)
    content = build_onnx_model(detector, {"class_names": json.dumps(["a", "b", "c"])}).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    # On the smallest canvas no level has as many anchors or points as may be chosen.
    for size in (Size(64, 96), Size(33, 61), Size(150, 211)):
        picture = draw_picture(size)
        found = session.run(None, {"image": picture.numpy()})
        with torch.no_grad():
            wanted = DetectionGraph(detector)(*PictureOnCanvas()(picture))
        assert len(found[1]) > 10
        np.testing.assert_allclose(found[0], wanted[0].numpy(), atol=0.02)
        np.testing.assert_allclose(found[1], wanted[1].numpy(), atol=1e-4)
        np.testing.assert_array_equal(found[2], wanted[2].numpy())
