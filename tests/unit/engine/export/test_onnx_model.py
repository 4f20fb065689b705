"""A whole detector in onnxruntime."""

import json
import logging

import numpy as np
import pytest
import torch

from hrdet_cli.engine.export.check_pictures import draw_picture
from hrdet_cli.engine.export.detection_graph import PictureOnCanvas
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import ImageBatch

SIZES = (Size(128, 160), Size(160, 96), Size(150, 211))
"""The last one's sides are no multiples of 32; none is the one it was traced with."""


@pytest.mark.slow
def test_one_model_finds_what_the_detector_finds_in_pictures_of_three_sizes(
    detector: Detector, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    onnx = pytest.importorskip("onnx", reason='needs the extra "export"')
    onnxruntime = pytest.importorskip("onnxruntime", reason='needs the extra "export"')
    pytest.importorskip("onnxscript", reason='needs the extra "export"')
    from hrdet_cli.engine.export.onnx_model import build_onnx_model

    model = build_onnx_model(detector, {"class_names": json.dumps(["a", "b", "c", "é"])})
    assert capfd.readouterr() == ("", "")
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    assert b".py" not in content  # neither code nor the folders it lies in

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (image,) = session.get_inputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(uint8)", [3, "height", "width"])
    assert [(output.name, output.type, output.shape) for output in session.get_outputs()] == [
        ("boxes", "tensor(float)", ["detections", 4]),
        ("scores", "tensor(float)", ["detections"]),
        ("labels", "tensor(int64)", ["detections"]),
        ("masks", "tensor(float)", ["detections", 28, 28]),
    ]
    metadata = session.get_modelmeta()
    assert json.loads(metadata.custom_metadata_map["class_names"]) == ["a", "b", "c", "é"]
    assert metadata.producer_name == "hrdet"

    for size in SIZES:
        picture = draw_picture(size)
        boxes, scores, labels, masks = session.run(None, {"image": picture.numpy()})
        pixels, sizes = PictureOnCanvas()(picture)
        found = detector.detect(ImageBatch(pixels, sizes, keys=torch.zeros(1, dtype=torch.int64)))
        is_valid = found.is_valid[0]
        assert len(scores) > 10
        np.testing.assert_array_equal(labels, found.labels[0, is_valid].numpy())
        np.testing.assert_allclose(boxes, found.boxes[0, is_valid].numpy(), atol=0.02)
        np.testing.assert_allclose(scores, found.scores[0, is_valid].numpy(), atol=1e-4)
        assert found.masks is not None
        np.testing.assert_allclose(masks, found.masks[0, is_valid].numpy(), atol=1e-3)

    # A flat picture in which nothing is found: the last layers get no row at all.
    nothing = session.run(None, {"image": np.full((3, 96, 64), 117, dtype=np.uint8)})
    assert [part.shape[1:] for part in nothing] == [(4,), (), (), (28, 28)]
