"""What is written comes back bit for bit through the one way in which weights are read."""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.export.weight_files import mmdetection_file, safetensors_file, state_dict_file
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.weights.naming.hrdet import HRDET
from hrdet_cli.engine.weights.naming.mmdetection import MMDETECTION
from hrdet_cli.engine.weights.naming.recognition import recognise, to_ours
from hrdet_cli.engine.weights.reading import WeightsFile, read_weights
from hrdet_cli.runs.build.detector import build_plain_detector
from hrdet_cli.specs.loading import load_spec

NAMES = ("person", "feu d'artifice é", "traffic light", "cat")


def reread(content: bytes, path: Path) -> WeightsFile:
    path.write_bytes(content)
    return read_weights(str(path))


def assert_same_bits(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    assert theirs.keys() == ours.keys()
    for name, tensor in ours.items():
        assert theirs[name].dtype == tensor.dtype
        assert torch.equal(theirs[name], tensor), name


def test_a_state_dict_comes_back(detector: Detector, tmp_path: Path) -> None:
    content = state_dict_file(detector.state_dict())
    file = reread(content, tmp_path / "weights.pth")
    assert recognise(file.tensors)[0] == HRDET
    assert_same_bits(detector.state_dict(), dict(file.tensors))
    plain = torch.load(tmp_path / "weights.pth", weights_only=True)
    assert type(plain) is dict
    assert list(plain) == list(detector.state_dict())


@pytest.mark.parametrize("preset", ["mmdet3-hrnet-w18", "mmdet3-r50-fpn"])
def test_an_mmdetection_file_comes_back(preset: str, tmp_path: Path) -> None:
    """With its classes, which mmdetection 3 looks for in ``meta.dataset_meta``."""
    model = load_spec(preset=preset, settings=["model.neck.channels=8"]).spec.model
    ours = build_plain_detector(model, num_classes=len(NAMES)).state_dict()
    file = reread(mmdetection_file(ours, NAMES), tmp_path / "weights.pth")
    assert recognise(file.tensors)[0] == MMDETECTION
    assert "roi_head.bbox_head.shared_fcs.0.weight" in file.tensors
    assert_same_bits(ours, to_ours(file.tensors, MMDETECTION))
    assert file.class_names == NAMES
    document = torch.load(tmp_path / "weights.pth", weights_only=True)
    assert set(document) == {"state_dict", "meta"}
    assert document["meta"] == {"dataset_meta": {"classes": NAMES}}


def test_a_safetensors_file_comes_back_with_its_metadata(detector: Detector, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors", reason='needs the extra "safetensors"')
    tensors = detector.state_dict()
    channels_last = {
        name: tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor
        for name, tensor in tensors.items()
    }
    content = safetensors_file(channels_last, {"class_names": json.dumps(NAMES)})
    file = reread(content, tmp_path / "weights.safetensors")
    assert_same_bits(tensors, dict(file.tensors))
    with safetensors.safe_open(tmp_path / "weights.safetensors", "pt") as opened:
        assert opened.metadata() == {"format": "pt", "class_names": json.dumps(NAMES)}
