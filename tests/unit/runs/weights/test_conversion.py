from pathlib import Path

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.training.checkpoint import load_checkpoint
from hrdet_cli.engine.weights.naming.mmdetection import to_mmdetection
from hrdet_cli.errors import WeightsError
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.runs.trained_detector.reading import read_trained_detector
from hrdet_cli.runs.weights.conversion import Conversion, convert_weights
from hrdet_cli.specs.loading import load_spec

SETTINGS = ("norm={kind: batch}", "model.neck.channels=8", "model.head.roi_head.hidden_features=8")


def of_mmdetection(folder: Path, surplus: dict[str, Tensor]) -> str:
    spec = load_spec(preset="demo", settings=SETTINGS).spec
    tensors = to_mmdetection(build_detector(spec, num_classes=80, trains=False).state_dict())
    torch.save(tensors | surplus, folder / "x.pth")
    return str(folder / "x.pth")


def convert(source: str, out: Path, *settings: str) -> Conversion:
    return convert_weights(
        source, preset="demo", spec_file=None, settings=[*SETTINGS, *settings], classes=None, out=out
    )


def test_what_was_said_of_the_file_is_not_said_of_the_checkpoint(tmp_path: Path) -> None:
    """Its background is the last row, whatever the file's was, and its spec can start a training."""
    source, out = of_mmdetection(tmp_path, {"mask_head.bias": torch.ones(1)}), tmp_path / "out.pt"
    convert(source, out, "model.weights_background=first", "model.strict_weights=false")
    (tmp_path / "spec.yaml").write_text(load_checkpoint(out)["spec"])
    model = load_spec(spec_file=tmp_path / "spec.yaml").spec.model
    assert (model.weights, model.weights_background, model.strict_weights) == (str(out), "auto", True)
    assert read_trained_detector(str(out)).spec.model == model


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    source = of_mmdetection(tmp_path, {"mask_head.bias": torch.ones(1)})
    notices = convert(source, tmp_path / "out.pt", "model.strict_weights=false").notices
    assert "model.strict_weights=false: 1 tensor has no place in the model: mask_head.bias" in notices


def test_batch_norm_s_weights_do_not_become_group_norm_s(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"norm\.kind=group has no place for"):
        convert(of_mmdetection(tmp_path, {}), tmp_path / "out.pt", "norm={kind: group}")
    assert not (tmp_path / "out.pt").exists()
