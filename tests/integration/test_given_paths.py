"""What commands say of paths that lead nowhere, before torch is loaded, which takes seconds."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from hrdet_cli.cli.display import work
from tests.integration.conftest import Hrdet

NO_DETECTOR = "gone: does not exist; give a run folder, a checkpoint, weights of other code, or a name"
NO_DATA = "instances_train2017.json: does not exist; data.train.annotations points there"
NO_SOURCE = "gone: does not exist; give COCO's JSON, YOLO's data.yaml or a Pascal VOC folder"
NO_IMAGES = "image root gone does not exist. Give a folder of pictures or a .zip archive."
NO_WEIGHTS = "weights gone.pth: there is no such file"
NO_CHECKPOINT = "there: is no run folder with checkpoints/best.pt or last.pt"
TWO = ("--processes-per-node", "2", "--set", "run.device=cpu")
COCO = ("--preset", "hrnet-w18")


def _refuse_torch(name: str) -> None:
    raise AssertionError(f"{name} is loaded before the paths are looked at")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("eval gone --set evaluation.batch_size=0", NO_DETECTOR),
        ("eval there.pth --val-data gone there", NO_SOURCE),
        ("eval there.pth --val-data there.pth gone", NO_IMAGES),
        ("eval there.pth --classes gone", NO_SOURCE),
        ("eval there.pth --spec gone", "gone: cannot be read"),
        ("eval there", NO_CHECKPOINT),
        (("eval", "gone", *TWO), NO_DETECTOR),
        ("predict gone there", NO_DETECTOR),
        ("predict there.pth there gone", "gone: does not exist; name pictures, folders or .zip archives"),
        ("export gone --to onnx --out x.onnx", NO_DETECTOR),
        (
            "export there.pth --to onnx --out x.onnx --check-picture gone",
            "gone: does not exist; give a picture",
        ),
        ("weights convert gone --out there.pth", NO_DETECTOR),
        ("weights inspect gone", "weights gone: there is no such file. Public files are"),
        ("check-data gone --no-open", NO_SOURCE),
        ("check-data gone --preset demo", NO_SOURCE),
        ("check-data there.pth gone --no-open --workers 1", NO_IMAGES),
        ("check-data --suspects gone --no-open", "gone: does not exist; name the list"),
        (("check-data", *COCO), NO_DATA),
        ("convert gone out --to yolo", NO_SOURCE),
        ("convert there.pth out --to yolo --images gone", NO_IMAGES),
        (("train", *COCO), NO_DATA),
        (("train", *COCO, "--rehearse", "2x2"), NO_DATA),
        (("train", *COCO, *TWO), NO_DATA),
        ("train --preset demo --weights gone.pth", NO_WEIGHTS),
        ("train --preset demo --set model.weights=gone.pth", NO_WEIGHTS),
        (("train", "--preset", "demo", "--weights", "gone.pth", *TWO), NO_WEIGHTS),
        ("train --preset demo --weights there --auto-resume", NO_CHECKPOINT),
        ("train --resume --run-dir gone", "gone: is not a run folder"),
        (("inspect-batch", *COCO), NO_DATA),
        ("inspect-batch --batch gone", "gone: does not exist; name the batch that a stopped run saved"),
        (("benchmark-pad", *COCO), NO_DATA),
    ],
    ids=str,
)
def test_a_path_that_leads_nowhere_is_told_first(
    hrdet: Hrdet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: str | tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there").mkdir()
    Path("there.pth").touch()
    monkeypatch.setattr(work, "sys", SimpleNamespace(modules={}))
    monkeypatch.setattr(work, "import_module", _refuse_torch)
    outcome = hrdet(*(arguments.split() if isinstance(arguments, str) else arguments))
    assert outcome.exit_code in (2, 3, 4, 5)
    assert message in outcome.stderr
    assert sorted(tmp_path.iterdir()) == [tmp_path / "there", tmp_path / "there.pth"], "nothing was made"
