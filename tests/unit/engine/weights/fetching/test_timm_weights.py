import logging
import sys

import pytest
import torch
from huggingface_hub import constants
from torch import nn

from hrdet_cli.engine.weights.fetching import timm_weights
from hrdet_cli.engine.weights.fetching.timm_weights import read_timm_weights
from hrdet_cli.errors import WeightsError


@pytest.fixture(autouse=True)
def reachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timm_weights, "why_unreachable", lambda: None)


@pytest.mark.parametrize("name", ["hrnet_w18", "hrnet_w48_ssld.paddle_in1k"])
def test_timm_is_asked_for_trained_weights(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    asked = []

    def create_model(name: str, *, pretrained: bool) -> nn.Module:
        asked.append((name, pretrained))
        return nn.BatchNorm2d(2)

    monkeypatch.setattr("timm.create_model", create_model)
    tensors = read_timm_weights(name)
    assert asked == [(name, True)]
    assert torch.equal(tensors["running_var"], torch.ones(2))


def test_a_failed_fetch_by_timm_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(*_arguments: object, **_keywords: object) -> nn.Module:
        raise OSError("no route to host\nand much more")

    monkeypatch.setattr("timm.create_model", create_model)
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

    monkeypatch.setattr("timm.create_model", create_model)
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
