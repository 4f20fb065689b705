"""Where fetched files lie, and what the environment says of fetching."""

from pathlib import Path

import pytest
import torch

from hrdet_cli.engine.weights.fetching.cache import CachedFile, cache_folder, is_offline, mirror_address
from hrdet_cli.errors import WeightsError


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"XDG_CACHE_HOME": "/caches"},
        {"TORCH_HOME": "/torch"},
        {"TORCH_HOME": "~/t", "XDG_CACHE_HOME": "/c"},
    ],
)
def test_the_cache_is_torch_hub_s(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(torch.hub.get_dir(), "checkpoints")


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("yes", True), ("0", False), ("", False), ("No", False)]
)
def test_offline_is_a_switch(value: str, expected: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HRDET_OFFLINE", value)
    assert is_offline() == expected


def test_a_mirror_is_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HRDET_WEIGHTS_MIRROR", "/shared/weights")
    with pytest.raises(
        WeightsError, match=r"^HRDET_WEIGHTS_MIRROR=/shared/weights: is no address; .* set TORCH_HOME"
    ):
        mirror_address(CachedFile.of("https://example.org/a.pth"))
