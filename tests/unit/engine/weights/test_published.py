import logging
import sys

import pytest
import timm
import torch
from huggingface_hub import constants
from torch import nn

from hrdet_cli.engine.weights import published
from hrdet_cli.engine.weights.published import is_torchvision_detector, read_timm_weights, torchvision_url
from hrdet_cli.errors import WeightsError


def test_torchvision_s_names_lead_to_its_first_published_files() -> None:
    file_by_name = {
        "resnet50": "resnet50-0676ba61.pth",
        "resnet101": "resnet101-63fe2227.pth",
        "fasterrcnn_resnet50_fpn": "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
        "fasterrcnn_resnet50_fpn_v2": "fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth",
        "maskrcnn_resnet50_fpn": "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
        "maskrcnn_resnet50_fpn_v2": "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
        "retinanet_resnet50_fpn": "retinanet_resnet50_fpn_coco-eeacb38b.pth",
        "retinanet_resnet50_fpn_v2": "retinanet_resnet50_fpn_v2_coco-5905b1c5.pth",
        "fcos_resnet50_fpn": "fcos_resnet50_fpn_coco-99b0c9b7.pth",
    }
    for name, file in file_by_name.items():
        assert torchvision_url(name).rpartition("/")[2] == file
        assert is_torchvision_detector(name) == name.endswith(("_fpn", "_fpn_v2"))


def test_a_network_that_is_not_here_is_named_with_those_that_are() -> None:
    with pytest.raises(WeightsError) as caught:
        torchvision_url("vit_b_16")
    assert str(caught.value) == (
        "torchvision:vit_b_16: hrdet has no network for these weights; it has torchvision:resnet50, "
        "torchvision:resnet101, torchvision:fasterrcnn_resnet50_fpn, torchvision:fasterrcnn_resnet50_fpn_v2, "
        "torchvision:maskrcnn_resnet50_fpn, torchvision:maskrcnn_resnet50_fpn_v2, "
        "torchvision:retinanet_resnet50_fpn, torchvision:retinanet_resnet50_fpn_v2, "
        "torchvision:fcos_resnet50_fpn"
    )


@pytest.fixture(autouse=True)
def reachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "_why_unreachable", lambda: None)


def test_timm_is_asked_for_trained_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def create_model(name: str, *, pretrained: bool) -> nn.Module:
        asked.append((name, pretrained))
        return nn.BatchNorm2d(2)

    monkeypatch.setattr(timm, "create_model", create_model)
    tensors = read_timm_weights("hrnet_w18")
    assert asked == [("hrnet_w18", True)]
    assert torch.equal(tensors["running_var"], torch.ones(2))


def test_a_failed_fetch_by_timm_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(*_arguments: object, **_keywords: object) -> nn.Module:
        raise OSError("no route to host\nand much more")

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(WeightsError) as caught:
        read_timm_weights("hrnet_w18")
    assert str(caught.value) == (
        "timm:hrnet_w18: timm could not fetch these weights (no route to host). Check the connection, or "
        "fetch the file by other means and give its path."
    )


def test_a_hub_that_does_not_answer_is_asked_once_and_without_a_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.undo()  # the real probe
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens on discard's port
    was_offline, during = constants.HF_HUB_OFFLINE, []

    def create_model(*_arguments: object, **_keywords: object) -> nn.Module:
        during.append(constants.HF_HUB_OFFLINE)
        logging.getLogger("huggingface_hub").warning("Retrying in 1s [Retry 1/5].")
        raise OSError("not in the cache")

    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(
        WeightsError, match=r"these weights \(http://127\.0\.0\.1:9 cannot be reached: .*refused\)\. Check"
    ):
        read_timm_weights("hrnet_w18")
    assert during == [True]
    assert was_offline == constants.HF_HUB_OFFLINE
    assert caplog.records == []
    assert logging.getLogger("timm").level != logging.ERROR


def test_a_model_that_timm_does_not_know_is_named() -> None:
    with pytest.raises(
        WeightsError, match=r"^timm:hrnet_w19: timm has no such model; .*hrnet_w18, .*hrnet_w64"
    ):
        read_timm_weights("hrnet_w19")


def test_without_timm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(
        WeightsError, match=r"needs the package timm; install it with: .*python.* -m pip install .timm>="
    ):
        read_timm_weights("hrnet_w18")
