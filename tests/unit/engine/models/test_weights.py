import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from hrdet_cli.engine.models.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.models.weights import WeightsReport, load_backbone_weights
from hrdet_cli.errors import WeightsError

REMEDY = "To train from scratch: --set model.weights=null"
State = dict[str, Tensor]


def build_backbone() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))


def trained_state() -> State:
    """What a file may hold: no value is one that a new backbone has."""
    return {
        key: torch.arange(1, tensor.numel() + 1).view(tensor.shape).to(tensor.dtype)
        for key, tensor in build_backbone().state_dict().items()
    }


def saved(content: object, folder: Path) -> Path:
    path = folder / "weights.pth"
    torch.save(content, path)
    return path


def test_a_public_file_of_hrnet_loads_and_its_classifier_is_left_over(tmp_path: Path) -> None:
    with torch.device("meta"):
        classifier = timm.create_model("hrnet_w18", pretrained=False)
    tensors = {key: torch.full_like(t, 0.5, device="cpu") for key, t in classifier.state_dict().items()}
    backbone = HRNet(HRNET_CONFIGS["w18"])

    report = load_backbone_weights(backbone, saved(tensors, tmp_path))

    assert report.matched == 1830
    assert {key.partition(".")[0] for key in report.left_over} == {
        *("incre_modules", "downsamp_modules", "final_layer", "classifier")
    }
    assert all((parameter == 0.5).all() for parameter in backbone.parameters())


def prefixed(prefix: str) -> Callable[[State], object]:
    return lambda state: {f"{prefix}{key}": tensor for key, tensor in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        prefixed(""),
        prefixed("module."),
        prefixed("backbone."),
        prefixed("module.backbone."),
        lambda state: {"state_dict": state, "epoch": 12},
        lambda state: {"state_dict": prefixed("module.")(state)},
    ],
    ids=["bare", "module", "backbone", "both", "state_dict", "state_dict and module"],
)
def test_every_usual_wrapping_is_taken_off(wrap: Callable[[State], object], tmp_path: Path) -> None:
    backbone, state = build_backbone(), trained_state()

    report = load_backbone_weights(backbone, saved(wrap(state), tmp_path))

    assert report == WeightsReport(matched=len(state), left_over=())
    assert all(torch.equal(tensor, state[key]) for key, tensor in backbone.state_dict().items())


def test_old_files_without_batch_counters_load(tmp_path: Path) -> None:
    state = trained_state()
    del state["1.num_batches_tracked"]
    backbone = build_backbone()

    report = load_backbone_weights(backbone, saved(state, tmp_path))

    assert report.matched == len(state)
    assert backbone.state_dict()["1.num_batches_tracked"] == 0


def test_missing_tensors_are_counted_and_the_first_five_named(tmp_path: Path) -> None:
    path = saved({"2.weight": torch.zeros(2, 4, 1, 1)}, tmp_path)

    with pytest.raises(WeightsError) as caught:
        load_backbone_weights(build_backbone(), path)

    assert str(caught.value).startswith(
        f"backbone weights {path} do not fit: 6 of 8 tensors are not in there: "
        "0.weight, 1.weight, 1.bias, 1.running_mean, 1.running_var and 1 more. "
        "Check that model.backbone and the file are of the same kind."
    )
    assert str(caught.value).endswith(REMEDY)


def test_another_shape_is_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    state = trained_state()
    state["2.weight"] = torch.zeros(2, 8, 1, 1)
    path = saved(state, tmp_path)
    backbone = build_backbone()
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}

    with pytest.raises(WeightsError) as caught:
        load_backbone_weights(backbone, path)

    assert str(caught.value).startswith(
        f"backbone weights {path} do not fit: 1 tensors have another shape: "
        "2.weight is (2, 8, 1, 1), needed (2, 4, 1, 1). "
        "Check that model.backbone and the file are of the same width."
    )
    assert all(torch.equal(before[key], tensor) for key, tensor in backbone.state_dict().items())


def test_an_absent_file_is_named_with_where_to_get_one(tmp_path: Path) -> None:
    path = tmp_path / "hrnetv2_w18_imagenet_pretrained.pth"

    with pytest.raises(WeightsError) as caught:
        load_backbone_weights(build_backbone(), path)

    assert str(caught.value).startswith(f"backbone weights {path}: there is no such file. Public files are ")
    assert "https://github.com/HRNet/HRNet-Image-Classification" in str(caught.value)
    assert str(caught.value).endswith(REMEDY)


class Harmful:
    def __reduce__(self) -> tuple[object, ...]:
        return print, ("code in the file was run",)


@pytest.mark.parametrize(
    "content",
    [b"", b"no weights at all", b"PK\x03\x04 cut short", pickle.dumps({"a": 1}), pickle.dumps(Harmful())],
    ids=["empty", "text", "half a zip", "plain pickle", "code"],
)
def test_what_is_no_weights_file_is_refused_and_runs_no_code(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(content)

    with pytest.raises(WeightsError) as caught:
        load_backbone_weights(build_backbone(), path)

    assert str(caught.value).startswith(f"backbone weights {path} cannot be read: ")
    assert str(caught.value).endswith(REMEDY)
    assert capsys.readouterr().out == ""


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        load_backbone_weights(build_backbone(), tmp_path)


@pytest.mark.parametrize("content", [{}, {"state_dict": {}}, {"epoch": 3}, [torch.zeros(1)], torch.zeros(2)])
def test_a_file_without_a_state_dict_is_refused(content: object, tmp_path: Path) -> None:
    path = saved(content, tmp_path)

    with pytest.raises(WeightsError) as caught:
        load_backbone_weights(build_backbone(), path)

    assert str(caught.value).startswith(
        f"backbone weights {path} hold no state dict of tensors. Public files"
    )
