"""What a run folder keeps, refuses and forgets."""

import json
from pathlib import Path

import pytest

from hrdet_cli.errors import OutputError, WeightsError
from hrdet_cli.runs.run_folder import RunFolder, make_folder, weights_of, write_json


def folder_with_run(path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.create(overwrite=False)
    folder.add_launch({"seed": 1})
    folder.spec_file.write_text("name: a")
    return folder


def test_overwriting_deletes_what_a_run_writes_and_nothing_else(tmp_path: Path) -> None:
    folder = folder_with_run(tmp_path / "run")
    folder.append_metrics({"kind": "step", "step": 1})
    (folder.checkpoints / "last.pt").touch()
    folder.ema_evaluation.mkdir()
    notes = folder.path / "notes.txt"
    notes.write_text("mine")
    folder.create(overwrite=True)
    assert notes.read_text() == "mine"
    assert {path.name for path in folder.path.iterdir()} == {
        "notes.txt",
        "checkpoints",
        "pictures",
        "evaluation",
    }
    assert not any(folder.checkpoints.iterdir())


def test_a_run_stands_for_its_best_checkpoint_among_weights(tmp_path: Path) -> None:
    folder = folder_with_run(tmp_path / "run")
    with pytest.raises(WeightsError, match=r"run: is no run folder with checkpoints/best\.pt or last\.pt"):
        weights_of(str(folder.path))
    for checkpoint in (folder.last_checkpoint, folder.best_checkpoint):
        checkpoint.touch()
        assert weights_of(str(folder.path)) == str(checkpoint)
    for other in ("", "timm:hrnet_w18", str(folder.best_checkpoint), "nowhere.pth"):
        assert weights_of(other) == other


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    RunFolder(tmp_path).refuse_if_taken(overwrite=False)


@pytest.mark.parametrize("name", ["x" * 300, "file/run"])
def test_a_path_that_cannot_be_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot"):
        RunFolder(tmp_path / name).create(overwrite=False)


def test_checkpoints_come_newest_first_by_number_not_by_spelling(tmp_path: Path) -> None:
    folder = folder_with_run(tmp_path / "run")
    for name in ("epoch-996.pt", "epoch-1000.pt", "epoch-1004.pt", "best-ema.pt", "best.pt", "last.pt"):
        (folder.checkpoints / name).touch()
    names = [path.name for path in folder.checkpoints_newest_first()]
    by_epoch = ["epoch-1004.pt", "epoch-1000.pt", "epoch-996.pt"]
    assert names == ["last.pt", *by_epoch, "best.pt", "best-ema.pt"]


def test_metrics_after_the_checkpoint_are_forgotten_with_a_line_cut_off_by_a_crash(tmp_path: Path) -> None:
    folder = folder_with_run(tmp_path / "run")
    lines: list[dict[str, object]] = [
        {"kind": "step", "step": 1, "epoch": 1},
        {"kind": "step", "step": 2, "epoch": 1},
        {"kind": "evaluation", "step": 2, "epoch": 1},
        {"kind": "step", "step": 3, "epoch": 2},
    ]
    for line in lines:
        folder.append_metrics(line)
    with folder.metrics_file.open("a") as file:
        file.write('{"kind": "st')
    folder.drop_metrics_after(step=2, epoch=0)
    kept = [json.loads(line) for line in folder.metrics_file.read_text().splitlines()]
    assert kept == lines[:2], "the evaluation will be made again"
    folder.drop_metrics_after(step=1, epoch=0)
    assert len(folder.metrics_file.read_text().splitlines()) == 1


@pytest.mark.parametrize("line", ["3", "[]", "{}", '{"kind": "step"}'])
def test_a_metrics_line_that_no_run_wrote_is_shown(tmp_path: Path, line: str) -> None:
    folder = folder_with_run(tmp_path / "run")
    folder.metrics_file.write_text(line + "\n")
    with pytest.raises(OutputError, match="no run wrote the line"):
        folder.drop_metrics_after(step=1, epoch=0)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"launches": 3}', '{"launches": [3]}'])
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    folder = folder_with_run(tmp_path / "run")
    folder.record_file.write_text(text)
    with pytest.raises(OutputError, match=r"run\.json: is damaged"):
        folder.launches()


def test_a_document_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"a": 1})
    with pytest.raises(ValueError, match="nan"):
        write_json(file, {"a": float("nan")})
    assert json.loads(file.read_text()) == {"a": 1}
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_is_made_with_its_parents_or_refused(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert not any((tmp_path / "a" / "b").iterdir())
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="choose another --out"):
        make_folder(tmp_path / "file")
