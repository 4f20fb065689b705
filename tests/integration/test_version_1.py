"""A run that an older hrdet began, whose spec has older names and whose checkpoint has version 1.

`tests/integration/of_version_1/make_run.py` says what is in the archive and how it was made.
"""

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.training.checkpoint import load_checkpoint
from hrdet_cli.specs.heads.two_stage import FasterRcnnSpec
from hrdet_cli.specs.loading import load_spec
from tests.integration.conftest import Hrdet
from tests.integration.of_version_1.make_run import RESUME, SETTINGS, settings, tiny_network

_ARCHIVE = Path(__file__).parent / "of_version_1" / "run.tar.xz"
_CLASSES = ("red", "blue")


@dataclass(frozen=True)
class OldRun:
    """The archive, unpacked.

    Attributes:
        data: What tells commands where its data are now.
    """

    folder: Path
    data: tuple[str, ...]

    @property
    def run(self) -> Path:
        return self.folder / "run"

    @property
    def checkpoint(self) -> Path:
        return self.run / "checkpoints" / "last.pt"

    def content(self) -> dict[str, Any]:
        content: dict[str, Any] = torch.load(self.checkpoint, weights_only=True)
        return content

    def weights(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = self.content()["model"]
        return weights


@pytest.fixture
def old(tmp_path: Path) -> Iterator[OldRun]:
    with tarfile.open(_ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    with tiny_network():
        yield OldRun(tmp_path, ("--set", f"data.root={tmp_path / 'data'}"))


def losses_of(file: Path) -> dict[int, dict[str, float]]:
    """The losses of each step."""
    lines = map(json.loads, file.read_text().splitlines())
    return {line["step"]: line["losses"] for line in lines if line["kind"] == "step"}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[key]) for key, tensor in one.items())


def test_the_archive_is_of_an_older_hrdet(old: OldRun) -> None:
    content, spec = old.content(), (old.run / "spec.yaml").read_text()
    assert content["format"] == {"kind": "hrdet checkpoint", "version": 1}
    assert content["spec"] == spec
    assert "\n  rpn:\n" in spec
    assert "\n  head:\n" not in spec
    assert 0.0 < content["best_ema_box_ap"] < 1


def test_its_checkpoint_is_read_as_one_of_today(old: OldRun) -> None:
    content, read = old.content(), load_checkpoint(old.checkpoint)
    assert (read["best_box_ap"], read["best_ema_box_ap"]) == (
        content["best_box_ap"],
        content["best_ema_box_ap"],
    )
    assert same(read["model"], content["model"])
    assert same(read["ema_model"], content["ema_model"])


@pytest.mark.parametrize(
    "as_begun", [(), ("--preset", "demo", *settings(SETTINGS))], ids=["by its folder", "by its own command"]
)
def test_it_goes_on_to_the_losses_that_the_older_hrdet_got(
    hrdet: Hrdet, old: OldRun, as_begun: tuple[str, ...]
) -> None:
    began = losses_of(old.run / "metrics.jsonl")
    options = [*as_begun, *settings(RESUME), *old.data]
    outcome = hrdet("train", "--resume", "--run-dir", old.run, *options)
    assert outcome.exit_code == 0, outcome.stderr
    assert "did not have" not in outcome.stdout + outcome.stderr
    got, wanted = losses_of(old.run / "metrics.jsonl"), losses_of(old.folder / "resumed.jsonl")
    assert list(got) == list(wanted) == [1, 2, 3, 4, 5, 6]
    assert list(began) == [1, 2, 3, 4]
    for step, losses in wanted.items():
        assert got[step] == pytest.approx(losses, rel=1e-4), step
    saved = load_checkpoint(old.checkpoint)
    assert torch.load(old.checkpoint, weights_only=True)["format"]["version"] == 2
    assert "\n  head:\n    kind: faster_rcnn\n" in saved["spec"]


@pytest.mark.parametrize("setting", ["model.rpn.anchor_scale=6", "model.head.rpn.anchor_scale=6"])
def test_it_keeps_its_spec_by_whichever_name(hrdet: Hrdet, old: OldRun, setting: str) -> None:
    refused = hrdet("train", "--resume", "--run-dir", old.run, "--set", setting, *settings(RESUME), *old.data)
    assert refused.exit_code == 2
    assert "model.head.rpn.anchor_scale: is 5.0 in" in refused.stderr
    assert "but 6.0 was asked for; a resumed run keeps it" in refused.stderr


def test_it_finds_what_the_older_hrdet_found(hrdet: Hrdet, old: OldRun) -> None:
    outcome = hrdet("eval", old.checkpoint, *old.data, "--out", old.folder / "evaluation")
    assert outcome.exit_code == 0, outcome.stderr
    found, wanted = (
        json.loads((old.folder / name / "detections.json").read_text()) for name in ("evaluation", "")
    )
    assert len(found) == len(wanted) > 50
    for one, other in zip(found, wanted, strict=True):
        assert (one["image_id"], one["category_id"]) == (other["image_id"], other["category_id"])
        assert one["bbox"] == pytest.approx(other["bbox"], abs=0.02)
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)


def test_its_checkpoint_is_inspected_converted_and_started_from(
    hrdet: Hrdet, old: OldRun, tmp_path: Path
) -> None:
    told = hrdet("weights", "inspect", old.checkpoint, "--json")
    assert told.exit_code == 0, told.stderr
    facts = json.loads(told.stdout)
    assert tuple(facts["class_names"]) == _CLASSES
    assert facts["fit"]["report"]["missing"] == []
    out = tmp_path / "converted.pt"
    done = hrdet("weights", "convert", old.checkpoint, "--out", out)
    assert done.exit_code == 0, done.stderr
    converted = load_checkpoint(out)
    assert same(converted["model"], old.weights())
    assert tuple(converted["class_names"]) == _CLASSES
    options = ["--preset", "demo", *settings(SETTINGS), *old.data, "--weights", str(old.checkpoint)]
    begun = hrdet("train", *options, "--run-dir", tmp_path / "next")
    assert begun.exit_code == 0, begun.stderr
    assert f"{old.checkpoint}" in begun.stdout


def test_its_pictures_are_predicted_and_its_detector_exported(
    hrdet: Hrdet, old: OldRun, tmp_path: Path
) -> None:
    done = hrdet("predict", old.checkpoint, old.folder / "data" / "images", "--out", tmp_path / "found")
    assert done.exit_code == 0, done.stderr
    exported = hrdet("export", old.checkpoint, "--to", "state-dict", "--out", tmp_path / "x.pth")
    assert exported.exit_code == 0, exported.stderr
    assert same(torch.load(tmp_path / "x.pth", weights_only=True), old.weights())


def test_the_settings_that_began_it_are_a_spec_of_today_by_their_older_names() -> None:
    model = load_spec(preset="demo", settings=list(SETTINGS)).spec.model
    assert isinstance(model.head, FasterRcnnSpec)
    assert (model.neck.channels, model.head.rpn.anchor_scale, model.head.roi_head.pool_cells) == (4, 5, 2)
