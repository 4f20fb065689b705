"""A cascade in onnxruntime, behind a trunk of one convolution a level."""

import json

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.export.check_pictures import draw_picture
from hrdet_cli.engine.export.detection_graph import DetectionGraph, PictureOnCanvas
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.backbones.deformable import DeformableConv
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.norm.valid_area import ValidArea
from tests.cascades import CHANNELS, STRIDE, make_head


class OneLevel(nn.Module):
    def forward(self, level: Tensor, area: ValidArea | None) -> Pyramid:
        return Pyramid((level,), strides=(STRIDE,), area=area)


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


class OneConvolution(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, CHANNELS, STRIDE, stride=STRIDE)

    def forward(self, pixels: Tensor, area: ValidArea | None) -> Tensor:  # noqa: ARG002
        found: Tensor = self.conv(pixels)
        return found


def make_detector(*, with_deformable: bool = False) -> Detector:
    head = make_head()
    torch.manual_seed(1)
    detector = Detector(
        backbone=Deformed() if with_deformable else OneConvolution(),
        neck=OneLevel(),
        head=head,
        pixel_mean=(110.0, 110.0, 110.0),
        pixel_std=(20.0, 20.0, 20.0),
    )
    return detector.float().eval()


@pytest.mark.slow
@pytest.mark.parametrize("with_deformable", [False, True])
def test_it_finds_what_the_detector_finds(with_deformable: bool) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason='needs the extra "export"')
    pytest.importorskip("onnxscript", reason='needs the extra "export"')
    from hrdet_cli.engine.export.onnx_model import build_onnx_model

    detector = make_detector(with_deformable=with_deformable)
    content = build_onnx_model(detector, {"class_names": json.dumps(["a", "b", "c"])}).SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    for size in (Size(64, 96), Size(75, 61)):
        picture = draw_picture(size)
        found = session.run(None, {"image": picture.numpy()})
        with torch.no_grad():
            wanted = DetectionGraph(detector)(*PictureOnCanvas()(picture))
        assert len(found[1]) > 10
        assert len(set(found[2].tolist())) > 1
        for ours, theirs, tolerance in zip(wanted, found, (0.02, 1e-4, 0), strict=True):
            np.testing.assert_allclose(theirs, ours.numpy(), atol=tolerance)
