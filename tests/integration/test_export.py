"""``hrdet export``: what it writes, and what it refuses before any work is done."""

import json
import subprocess
import sys
from importlib import util
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from hrdet_cli.engine.evaluation.mask_pasting import MaskPasting
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.training.checkpoint import load_checkpoint
from hrdet_cli.engine.weights.naming.mmdetection import MMDETECTION
from hrdet_cli.engine.weights.naming.recognition import to_ours
from hrdet_cli.extras import install_command
from tests.integration.conftest import FinishedRun, Hrdet
from tests.onnx_models import model_that_finds


def saved_weights(run: FinishedRun) -> dict[str, torch.Tensor]:
    weights: dict[str, torch.Tensor] = load_checkpoint(run.folder / "checkpoints" / "best.pt")["model"]
    return weights


def assert_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())


def test_a_run_s_best_weights_are_written_as_a_state_dict(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    out = tmp_path / "weights.pth"
    outcome = hrdet("export", finished_run.folder, "--to", "state-dict", "--out", out)
    assert outcome.exit_code == 0, outcome.stderr
    wanted = saved_weights(finished_run)
    assert_equal(torch.load(out, weights_only=True), wanted)
    assert outcome.stdout == f"{out}: {len(wanted)} tensors, {out.stat().st_size / 1e6:.1f} MB\n"
    assert [file.name for file in tmp_path.iterdir()] == ["weights.pth"]


def test_json_says_what_was_written(finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path) -> None:
    out = tmp_path / "weights.pth"
    outcome = hrdet("export", finished_run.folder, "--to", "state-dict", "--out", out, "--json")
    assert json.loads(outcome.stdout) == {
        "path": str(out),
        "format": "state-dict",
        "num_bytes": out.stat().st_size,
        "num_tensors": len(saved_weights(finished_run)),
        "agreements": [],
        "notices": [],
    }


def test_mmdetection_s_names_come_back_bit_for_bit(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    out = tmp_path / "weights.pth"
    assert hrdet("export", finished_run.folder, "--to", "mmdetection", "--out", out).exit_code == 0
    document = torch.load(out, weights_only=True)
    assert "rpn_head.rpn_conv.weight" in document["state_dict"]
    assert_equal(to_ours(document["state_dict"], MMDETECTION), saved_weights(finished_run))
    assert len(document["meta"]["dataset_meta"]["classes"]) == 6


def test_values_that_mmdetection_has_otherwise_are_noted_in_one_line(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    outcome = hrdet("export", finished_run.folder, "--to", "mmdetection", "--out", tmp_path / "w.pth")
    assert outcome.stderr == (
        "note: mmdetection's own configurations have other values, so set these there: "
        "model.head.rpn.anchor_scale 6.0 (there 8.0), model.head.roi_head.pool_sampling_ratio 1 (there 0)\n"
    )


def test_a_safetensors_file_says_what_it_is(finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors", reason='needs the extra "safetensors"')
    out = tmp_path / "weights.safetensors"
    assert hrdet("export", finished_run.folder, "--to", "safetensors", "--out", out).exit_code == 0
    with safetensors.safe_open(out, "pt") as opened:
        metadata = opened.metadata()
        assert set(opened.keys()) == set(saved_weights(finished_run))
    assert len(json.loads(metadata["class_names"])) == 6
    assert json.loads(metadata["scale_pixels"]) == [160, 128]
    assert "backbone:" in metadata["spec"]
    scores = [
        hrdet("eval", source, "--json", "--out", tmp_path / f"eval-{index}")
        for index, source in enumerate((out, finished_run.folder))
    ]
    assert [score.exit_code for score in scores] == [0, 0], scores[0].stderr
    from_file, from_run = (json.loads(score.stdout) for score in scores)
    assert from_file.pop("made_from")["weights"] == str(out)
    assert from_run.pop("made_from")["weights"] != str(out)
    assert from_file == from_run, "the file says how it was built"


def test_a_file_that_is_there_is_only_replaced_when_asked(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    out = tmp_path / "weights.pth"
    out.write_text("mine")
    command = ["export", finished_run.folder, "--to", "state-dict", "--out", out]
    refused = hrdet(*command)
    assert (refused.exit_code, out.read_text()) == (5, "mine")
    assert refused.stderr == (
        f"error: {out}: is there already; give --out another name, or replace it with --overwrite\n"
    )
    assert hrdet(*command, "--overwrite").exit_code == 0
    assert_equal(torch.load(out, weights_only=True), saved_weights(finished_run))


@pytest.mark.parametrize(
    ("out", "message"),
    [("", "is a folder; give --out the name of a file"), ("no/x.pth", "is not there; make it first")],
)
def test_a_place_where_no_file_can_be_is_refused_before_anything_is_read(
    hrdet: Hrdet, tmp_path: Path, out: str, message: str
) -> None:
    refused = hrdet("export", "no-such-run", "--to", "state-dict", "--out", tmp_path / out)
    assert (refused.exit_code, message in refused.stderr) == (5, True)


def test_a_missing_package_is_named_with_its_extra(
    hrdet: Hrdet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = util.find_spec

    def without_onnxscript(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "onnxscript" else find_spec(name, package)

    monkeypatch.setattr("hrdet_cli.runs.export.target.find_spec", without_onnxscript)
    refused = hrdet("export", "no-such-run", "--to", "onnx", "--out", tmp_path / "x.onnx")
    assert refused.exit_code == 2
    assert refused.stderr.endswith(
        f"--to onnx: needs the package onnxscript; install it with: {install_command('export')}\n"
    )


def test_only_onnx_is_checked_on_a_picture(hrdet: Hrdet, tmp_path: Path) -> None:
    options = ["--check-picture", "x.png", "--out", tmp_path / "x.pth"]
    refused = hrdet("export", "no-such-run", "--to", "state-dict", *options)
    assert refused.exit_code == 2
    assert "--check-picture: is for --to onnx alone" in refused.stderr


def test_what_a_format_cannot_express_is_refused_with_a_remedy(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    pytest.importorskip("onnxscript", reason='needs the extra "export"')
    soft = ["--to", "onnx", "--out", tmp_path / "x", "--set", "model.head.roi_head.soft_nms={}"]
    refused = hrdet("export", finished_run.folder, *soft)
    assert refused.exit_code == 2
    assert "ONNX has no soft-NMS; --set model.head.roi_head.soft_nms=null exports" in refused.stderr
    group = ["--to", "mmdetection", "--out", tmp_path / "x", "--set", "norm.kind=group"]
    refused = hrdet("export", finished_run.folder, *group)
    assert refused.exit_code == 2
    assert "its group norms have other names; export with --to state-dict" in refused.stderr


@pytest.fixture
def deaf_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """The translation goes wrong: its model finds nothing in any picture."""
    pytest.importorskip("onnx", reason='needs the extra "export"')
    pytest.importorskip("onnxscript", reason='needs the extra "export"')
    pytest.importorskip("onnxruntime", reason='needs the extra "export"')
    model = model_that_finds([], [], [])
    monkeypatch.setattr("hrdet_cli.engine.export.onnx_model.build_onnx_model", lambda *_: model)


@pytest.mark.usefixtures("deaf_model")
def test_a_model_that_finds_other_things_is_not_written(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    out = tmp_path / "detector.onnx"
    everything = ["--set", "model.head.roi_head.score_threshold=0"]
    refused = hrdet("export", finished_run.folder, "--to", "onnx", "--out", out, *everything)
    assert refused.exit_code == 1
    first, *sizes, remedy = refused.stderr.splitlines()
    assert first == (f"error: {out}: not written, because onnxruntime does not find what the detector finds")
    wanted = "100 of the detector's 100 and the exported model's 0 detections have no counterpart"
    assert [line.strip() for line in sizes] == [
        f"{size}: {wanted}" for size in ("320x256", "256x320", "600x470")
    ]
    assert "Other versions of torch" in remedy
    assert not any(tmp_path.iterdir())


@pytest.mark.usefixtures("deaf_model")
def test_the_check_is_shown_and_says_when_it_says_little(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    out = tmp_path / "detector.onnx"
    settings = (
        "model.head.roi_head.score_threshold=1",
        "data.tiles={side_pixels: 500}",
        "evaluation.test_time_augmentation={}",
    )
    nothing = [word for setting in settings for word in ("--set", setting)]
    outcome = hrdet("export", finished_run.folder, "--to", "onnx", "--out", out, *nothing)
    assert outcome.exit_code == 0, outcome.stderr
    assert out.is_file()
    assert (
        "note: data.tiles is not in the model: cut pictures of more than 500 pixels into tiles that share 200"
    ) in outcome.stderr
    assert "note: evaluation.test_time_augmentation is not in the model" in outcome.stderr
    assert "600x470         0            0            0      0.00000 pixels" in outcome.stdout
    assert outcome.stderr.endswith(
        "note: nothing was found in the check pictures, so the check says little; give it a picture with "
        "objects: --check-picture FILE\n"
    )


def test_the_documented_use_of_a_model_gives_boxes_in_the_picture_s_own_pixels(tmp_path: Path) -> None:
    """The program in docs/export.md, on a picture that is enlarged twofold."""
    pytest.importorskip("onnx", reason='needs the extra "export"')
    pytest.importorskip("onnxruntime", reason='needs the extra "export"')
    metadata = {"class_names": json.dumps(["cat", "dog"]), "scale_pixels": "[400, 300]"}
    model = model_that_finds([[0, 10, 200, 101], [2, 4, 6, 8]], [0.75, 0.5], [1, 0], metadata)
    (tmp_path / "detector.onnx").write_bytes(model.SerializeToString())
    Image.new("RGB", (100, 200)).save(tmp_path / "picture.png")
    page = Path(__file__).parents[2].joinpath("docs", "export.md").read_text(encoding="utf-8")
    program = page.partition("```python\n")[2].partition("```")[0]
    command = [sys.executable, "-c", program, "detector.onnx", "picture.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    # Of 100 x 200 within (400, 300) the long edge allows 200 x 400.
    assert (done.stdout, done.stderr) == (
        "dog 0.750 0.0 5.0 100.0 50.5\ncat 0.500 1.0 2.0 3.0 4.0\n",
        "",
    )


def test_the_documented_way_to_lay_masks_out_gives_those_of_predict() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "export.md").read_text(encoding="utf-8")
    function = page.partition("### Masks")[2].partition("```python\n")[2].partition("```")[0]
    namespace: dict[str, Any] = {"np": np}
    exec(function, namespace)  # noqa: S102 - our own page
    generator = np.random.default_rng(0)
    coarse = generator.random((4, 7, 7), dtype=np.float32)
    masks = np.kron(coarse, np.ones((4, 4), dtype=np.float32))
    boxes = np.array(
        [[3.2, 4.7, 50.1, 31], [0, 0, 64, 48], [60.5, 40, 64, 48], [20, 5, 23.3, 45]], dtype=np.float32
    )
    pasted = MaskPasting(threshold=0.5).paste(masks, boxes, Size(48, 64))
    for mask, box, bitmap in zip(masks, boxes, pasted.bitmaps(), strict=True):
        sure = namespace["lay_out"](mask, box, (64, 48))
        assert sure.shape == (48, 64)
        assert bitmap.any()
        is_clear = abs(sure - 0.5) > 1e-5
        assert ((sure >= 0.5) == bitmap)[is_clear].all()
