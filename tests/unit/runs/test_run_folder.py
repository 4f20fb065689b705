"""What a run folder keeps, refuses and forgets."""

from pathlib import Path

import pytest

from hrdet_cli.errors import OutputError, WeightsError
from hrdet_cli.runs.run_folder import RunFolder, weights_of
from hrdet_cli.runs.run_record import RunRecord


def folder_with_run(path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.create(overwrite=False)
    folder.write_record(RunRecord(({"seed": 1},)))
    folder.spec_file.write_text("name: a")
    return folder


def test_overwriting_deletes_what_a_run_writes_and_nothing_else(tmp_path: Path) -> None:
    folder = folder_with_run(tmp_path / "run")
    folder.metrics_file.touch()
    (folder.checkpoints / "last.pt").touch()
    folder.ema_evaluation.mkdir()
    notes = folder.path / "notes.txt"
    notes.write_text("mine")
    folder.create(overwrite=True)
    assert notes.read_text() == "mine"
    assert {path.name for path in folder.path.iterdir()} == {
        "notes.txt",
        "spec.yaml",  # these two stay until the new run's take their places
        "run.json",
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


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"launches": 3}', '{"launches": [3]}'])
def test_a_damaged_record_counts_as_missing(tmp_path: Path, text: str) -> None:
    folder = folder_with_run(tmp_path / "run")
    folder.record_file.write_text(text)
    assert folder.read_record() is None


def test_a_folder_with_a_spec_and_a_record_holds_a_run_before_its_first_checkpoint(tmp_path: Path) -> None:
    folder = folder_with_run(tmp_path / "run")
    assert folder.holds_run()
    with pytest.raises(OutputError, match="already holds a run; continue it with --resume"):
        folder.refuse_if_taken(overwrite=False)


@pytest.mark.parametrize("left", ["spec.yaml", "run.json"])
def test_one_of_both_is_enough_among_what_a_run_writes(tmp_path: Path, left: str) -> None:
    folder = folder_with_run(tmp_path / "run")
    other = folder.record_file if left == "spec.yaml" else folder.spec_file
    other.unlink()
    assert folder.holds_run()
    (folder.path / "notes.txt").touch()
    assert not folder.holds_run(), "a user's own file of that name makes no run of a folder"
    folder.last_checkpoint.touch()
    assert folder.holds_run()


@pytest.mark.parametrize(
    "parts", [[], ["checkpoints"], ["checkpoints", "pictures", "logs", "run.json.tmp", "run.lock"]]
)
def test_a_folder_left_as_it_was_being_made_is_free(tmp_path: Path, parts: list[str]) -> None:
    for name in parts:
        (tmp_path / name).touch() if "." in name else (tmp_path / name).mkdir()
    folder = RunFolder(tmp_path)
    folder.create(overwrite=False)
    folder.make_parts()
    assert not (tmp_path / "run.json.tmp").exists()


def test_what_a_killed_run_left_half_written_is_removed(tmp_path: Path) -> None:
    folder = folder_with_run(tmp_path / "run")
    (folder.checkpoints / "last.pt.partial").touch()
    (folder.path / "spec.yaml.tmp").touch()
    (folder.pictures / "curves.png.tmp").touch()
    folder.make_parts()
    assert not list(folder.path.rglob("*.partial")) + list(folder.path.rglob("*.tmp"))


def test_overwriting_that_is_killed_never_leaves_an_older_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    folder = folder_with_run(tmp_path / "run")
    for file in (folder.last_checkpoint, folder.epoch_checkpoint(4), folder.metrics_file):
        file.touch()
    (folder.path / "non-finite-batch.pt").mkdir()  # which cannot be unlinked: the deleting stops there
    with pytest.raises(OutputError, match="cannot empty the run folder"):
        folder.create(overwrite=True)
    assert folder.checkpoints_newest_first() == []
    assert folder.holds_run(), "so --overwrite may try again"
    (folder.path / "non-finite-batch.pt").rmdir()
    folder.create(overwrite=True)
    assert not (folder.path / "checkpoints-replaced").exists()


def test_the_newest_checkpoints_of_epochs_are_kept(tmp_path: Path) -> None:
    folder = folder_with_run(tmp_path / "run")
    for epoch in (4, 8, 996, 1000):
        folder.epoch_checkpoint(epoch).touch()
    folder.last_checkpoint.touch()
    folder.keep_newest_epochs(2)
    assert {path.name for path in folder.checkpoints.iterdir()} == {
        "last.pt",
        "epoch-996.pt",
        "epoch-1000.pt",
    }
