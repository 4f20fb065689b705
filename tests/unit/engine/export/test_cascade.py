"""HTC, which has all that cascades have, in onnxruntime, behind a trunk of a few convolutions."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.export.check_pictures import draw_picture
from hrdet_cli.engine.export.detection_graph import DetectionGraph, PictureOnCanvas
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.backbones.deformable import DeformableConv
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.head import Head
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.runs.build.head import build_head
from hrdet_cli.specs.loading import load_spec
from tests.cascades import CHANNELS, NUM_CLASSES, STRIDE

HTC = (
    f"model.neck.channels={CHANNELS}",
    "model.head.kind=cascade_rcnn",
    "model.head.rpn={anchor_scale: 5, num_test_proposals: 40}",
    "model.head.roi_head={hidden_features: 16, pool_cells: 3}",
    "model.head.stages=[{positive_iou: 0.5, box_stds: [0.1, 0.1, 0.2, 0.2], loss_weight: 1}, "
    "{positive_iou: 0.6, box_stds: [0.05, 0.05, 0.1, 0.1], loss_weight: 0.5}]",
    "model.head.mask={flow: true, interleaved: true, num_convs: 1, channels: 5, pool_cells: 4}",
    "model.head.semantic={num_labels: 4, num_convs: 1, pool_cells: 6}",
    "data.train.label_maps=maps",
)


class Deformed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, CHANNELS, STRIDE, stride=STRIDE)
        convs = [nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False) for _ in range(2)]
        self.v1 = DeformableConv(convs[0], version="v1")
        self.v2 = DeformableConv(convs[1], version="v2", num_groups=2)
        for conv in (self.v1, self.v2):
            nn.init.normal_(conv.conv_offset.weight, std=0.2)

    def forward(self, pixels: Tensor, area: ValidArea | None) -> Tensor:  # noqa: ARG002
        x = self.conv(pixels)
        found: Tensor = x + self.v1(x) + self.v2(x)
        return found


class Levels(nn.Module):
    def __init__(self, *strides: int) -> None:
        super().__init__()
        self.strides = strides

    def forward(self, finest: Tensor, area: ValidArea | None) -> Pyramid:
        levels = [F.avg_pool2d(finest, stride // STRIDE) for stride in self.strides]
        return Pyramid(tuple(levels), strides=self.strides, area=area)


def make_detector(head: Head, *strides: int) -> Detector:
    torch.manual_seed(1)
    return Detector(
        backbone=Deformed(),
        neck=Levels(*strides),
        head=head,
        pixel_mean=(110.0, 110.0, 110.0),
        pixel_std=(20.0, 20.0, 20.0),
    ).eval()


def make_htc() -> Detector:
    """With all that it has, and outputs that are not all nearly zero."""
    strides = (8, 16)
    torch.manual_seed(3)
    head = build_head(
        load_spec(preset="demo", settings=HTC).spec.model, num_classes=NUM_CLASSES, strides=strides
    )
    for part in head.parts.values():
        for name, parameter in part.named_parameters():
            if name.endswith(("classifier.weight", "regressor.weight", "logits.weight")):
                nn.init.normal_(parameter)
    return make_detector(head, *strides)


@pytest.mark.slow
def test_it_finds_what_the_detector_finds() -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason='needs the extra "export"')
    pytest.importorskip("onnxscript", reason='needs the extra "export"')
    from hrdet_cli.engine.export.onnx_model import build_onnx_model

    detector = make_htc()
    content = build_onnx_model(detector, {"class_names": json.dumps(["a", "b", "c"])}).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for size in (Size(64, 96), Size(75, 61)):
        picture = draw_picture(size)
        found = session.run(None, {"image": picture.numpy()})
        with torch.no_grad():
            wanted = DetectionGraph(detector)(*PictureOnCanvas()(picture))
        assert len(found[1]) > 10
        assert len(set(found[2].tolist())) > 1
        assert found[3].std() > 0.05
        for ours, theirs, tolerance in zip(wanted, found, (0.02, 1e-4, 0, 1e-4), strict=True):
            np.testing.assert_allclose(theirs, ours.numpy(), atol=tolerance)
