"""A repository's weights at the Hugging Face hub, whose client is replaced here."""

import sys
from pathlib import Path

import huggingface_hub
import pytest
from huggingface_hub import constants

from hrdet_cli.engine.weights.fetching import hub
from hrdet_cli.engine.weights.fetching.hub import fetch_hub_file
from hrdet_cli.errors import WeightsError

Asked = list[tuple[str, str, str | None]]


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """What was downloaded: repository, file, revision."""
    asked: Asked = []

    def hf_hub_download(repository: str, file: str, *, revision: str | None) -> str:
        asked.append((repository, file, revision))
        return str(tmp_path / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    monkeypatch.setattr(hub, "why_unreachable", lambda: None)
    return asked


def with_files(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda *_words, **_named: list(names))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("hf:me/cells", ("me/cells", "model.safetensors", None)),
        ("hf:me/cells@v1.0", ("me/cells", "model.safetensors", "v1.0")),
        ("hf:me/cells/w/best.pt", ("me/cells", "w/best.pt", None)),
        ("hf:me/cells@main/best.pt", ("me/cells", "best.pt", "main")),
    ],
)
def test_a_name_says_repository_revision_and_file(
    source: str, expected: tuple[str, str, str | None], asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_files(monkeypatch, "README.md", "model.safetensors", "pytorch_model.bin", "best.pt")
    assert fetch_hub_file(source).name == expected[1].rpartition("/")[2]
    assert asked == [expected]


def test_without_a_usual_file_the_only_one_is_taken(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    with_files(monkeypatch, "README.md", "detector.pth")
    fetch_hub_file("hf:me/cells")
    assert asked == [("me/cells", "detector.pth", None)]
    with_files(monkeypatch, "b.pth", "a.pth")
    with pytest.raises(
        WeightsError, match=r"holds several files of weights; name one, such as hf:me/cells/a\.pth$"
    ):
        fetch_hub_file("hf:me/cells")
    with_files(monkeypatch, "README.md")
    with pytest.raises(WeightsError, match=r"^hf:me/cells: holds no file of weights$"):
        fetch_hub_file("hf:me/cells")


def test_a_name_that_is_none_and_a_missing_package_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError, match=r"^hf:cells: is no name at the hub; write hf:OWNER/NAME"):
        fetch_hub_file("hf:cells")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(WeightsError, match=r"needs the package huggingface_hub; .* 'huggingface-hub>="):
        fetch_hub_file("hf:me/cells")


def test_offline_the_only_file_that_the_cache_has_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HRDET_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository, commit = tmp_path / "models--me--cells", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    file = repository / "snapshots" / commit / "detector.pth"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    assert fetch_hub_file("hf:me/cells") == file


def test_offline_nobody_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HRDET_OFFLINE", "1")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        WeightsError, match=r"^hf:me/cells: could not be fetched \(nothing is fetched while HRDET_OFFL"
    ):
        fetch_hub_file("hf:me/cells")
    assert not constants.HF_HUB_OFFLINE
