"""``hrdet predict`` from the outside."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO

from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.training.checkpoint import load_checkpoint
from hrdet_cli.engine.weights.naming.mmdetection import to_mmdetection
from tests.forked import ForkedHrdet
from tests.integration.conftest import FinishedRun, Hrdet

ODD = Path(__file__).parents[2].parent / "shared" / "data" / "odd_free"
FINDS_MUCH = (
    "--set",
    "model.head.roi_head.score_threshold=0.001",
    "--min-score",
    "0.005",
)  # two epochs find little


PLACES = ("a.png", "b.png", "sub/a.png")


@pytest.fixture
def pictures(finished_run: FinishedRun, tmp_path: Path) -> Path:
    """The first three validation pictures in a folder, one of them in a subfolder."""
    names = load_coco(finished_run.data_root / "val.json").file_names[: len(PLACES)]
    images = open_images(finished_run.data_root / "images.zip")
    (tmp_path / "pictures" / "sub").mkdir(parents=True)
    for name, place in zip(names.tolist(), PLACES, strict=True):
        (tmp_path / "pictures" / place).write_bytes(images.read(name))
    return tmp_path / "pictures"


def read_json(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "detections.json").read_text())
    return document


TWO_SCALES_AND_MIRRORED = "evaluation.test_time_augmentation={scales_pixels: [[160, 128], [224, 160]]}"


TILES = "data.tiles={side_pixels: 128, overlap_pixels: 32}"


@pytest.mark.parametrize(
    "views",
    [(), ("--set", TWO_SCALES_AND_MIRRORED), ("--set", TILES)],
    ids=["once", "augmented", "tiles"],
)
def test_what_is_found_is_what_an_evaluation_finds(
    finished_run: FinishedRun, hrdet: Hrdet, pictures: Path, tmp_path: Path, views: tuple[str, ...]
) -> None:
    threshold = FINDS_MUCH[:2]
    predicted = hrdet(
        "predict", finished_run.folder, pictures, *FINDS_MUCH, *views, "--out", tmp_path / "p", "--json"
    )
    assert hrdet("eval", finished_run.folder, *threshold, *views, "--out", tmp_path / "e").exit_code == 0
    evaluated = json.loads((tmp_path / "e" / "detections.json").read_text())
    image_ids = load_coco(finished_run.data_root / "val.json").image_ids.tolist()
    for number, image_id in enumerate(image_ids[: len(PLACES)], start=1):
        ours = [one for one in json.loads(predicted.stdout)["annotations"] if one["image_id"] == number]
        theirs = [one for one in evaluated if one["image_id"] == image_id and one["score"] >= 0.005]
        assert len(ours) == len(theirs) > 20
        for one, other in zip(ours, theirs, strict=True):
            assert one["category_id"] == other["category_id"]
            assert one["score"] == pytest.approx(other["score"], abs=1e-5)
            assert one["bbox"] == pytest.approx(other["bbox"], abs=1e-2)


def test_a_folder_gives_drawn_pictures_a_document_and_a_table(
    finished_run: FinishedRun, hrdet: Hrdet, pictures: Path, tmp_path: Path
) -> None:
    (pictures / "notes.txt").write_text("no picture")
    outcome = hrdet("predict", finished_run.folder, pictures, *FINDS_MUCH, "--out", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.stderr
    out = tmp_path / "out"
    found = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert found == ["detections.json", "drawn/a.png", "drawn/b.png", "drawn/sub/a.png"]
    for name in PLACES:
        with Image.open(pictures / name) as given, Image.open(out / "drawn" / name) as drawn:
            assert drawn.width % given.width == 0
            assert drawn.resize(given.size).tobytes() != given.convert("RGB").tobytes()
    lines = outcome.stdout.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["picture", "a.png", "b.png", "sub/a.png"]
    num_found = len(read_json(out)["annotations"])
    assert f"{num_found} found in 3 pictures; skipped 1 file: 1 .txt" in lines


def test_the_document_can_be_read_as_coco_annotations(
    finished_run: FinishedRun, hrdet: Hrdet, pictures: Path, tmp_path: Path
) -> None:
    outcome = hrdet("predict", finished_run.folder, pictures, *FINDS_MUCH, "--out", tmp_path, "--json")
    document = json.loads(outcome.stdout)
    assert document == read_json(tmp_path)
    truth = load_coco(finished_run.data_root / "val.json")
    annotations = load_coco(tmp_path / "detections.json")
    assert annotations.class_names == truth.class_names
    assert annotations.category_ids == truth.category_ids
    assert annotations.file_names.tolist() == [*PLACES]
    assert annotations.sizes.tolist() == truth.sizes[:3].tolist()
    coco = COCO(str(tmp_path / "detections.json"))
    assert len(coco.loadRes(document["annotations"]).anns) == len(document["annotations"]) > 0
    scores = [one["score"] for one in document["annotations"] if one["image_id"] == 1]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) >= 0.005
    assert hrdet("check-data", tmp_path / "detections.json", pictures).exit_code == 0


def test_the_batch_size_changes_nothing(
    finished_run: FinishedRun, hrdet: Hrdet, pictures: Path, tmp_path: Path
) -> None:
    documents = []
    for batch_size in ("1", "3"):
        out = tmp_path / batch_size
        hrdet("predict", finished_run.folder, pictures, *FINDS_MUCH, "--batch-size", batch_size, "--out", out)
        documents.append(read_json(out))
    assert documents[0]["images"] == documents[1]["images"]
    for one, other in zip(documents[0]["annotations"], documents[1]["annotations"], strict=True):
        assert one["category_id"] == other["category_id"]
        assert one["score"] == pytest.approx(other["score"], abs=1e-5)
        assert one["bbox"] == pytest.approx(other["bbox"], abs=1e-2)


@pytest.mark.skipif(not ODD.exists(), reason="needs ../shared/data/odd_free")
def test_odd_files_are_named_one_by_one_and_stop_nothing(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    (tmp_path / "t.jpg").write_text("text")
    given = (ODD / "images", tmp_path / "t.jpg", ODD / "WHY.csv")
    outcome = hrdet("predict", finished_run.folder, *given, "--out", tmp_path / "out", "--min-score", "1")
    assert outcome.exit_code == 0, outcome.stderr
    document = read_json(tmp_path / "out")
    assert [(failed["file_name"], failed["reason"]) for failed in document["failed"]] == [
        (
            f"{ODD}/images/pillow_truncated_jpeg.jpg",
            "cannot be decoded: image file is truncated (8 bytes not processed)",
        ),
        (f"{tmp_path}/t.jpg", "cannot be decoded: its format is not known"),
        (f"{ODD}/WHY.csv", "cannot be decoded: its format is not known"),
    ]
    assert f"not read: {tmp_path}/t.jpg: cannot be decoded: its format is not known" in outcome.stdout
    assert "0 found in 24 pictures; 3 could not be read" in outcome.stdout
    size_by_name = {
        Path(image["file_name"]).name: (image["width"], image["height"]) for image in document["images"]
    }
    for orientation in range(2, 9):
        assert size_by_name[f"exif_portrait_{orientation}.jpg"] == (1200, 1800), "all are looked at upright"


def test_reasons_speak_of_pictures_not_of_annotations(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    outcome = hrdet("predict", finished_run.folder, tmp_path / "in", "--out", tmp_path / "out")
    assert outcome.exit_code == 3
    why = f"is a symbolic link to {tmp_path / 'nowhere.jpg'}, which does not exist"
    assert f"not read: link.jpg: {why}\n" in outcome.stdout


def test_nothing_readable_ends_with_3(finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path) -> None:
    (tmp_path / "t.jpg").write_text("text")
    outcome = hrdet("predict", finished_run.folder, tmp_path / "t.jpg", "--out", tmp_path / "out")
    assert outcome.exit_code == 3
    assert "0 found in 0 pictures; 1 could not be read" in outcome.stdout
    assert len(read_json(tmp_path / "out")["failed"]) == 1


def test_only_the_first_rows_are_shown(finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(33):
        Image.new("RGB", (64, 48)).save(tmp_path / "in" / f"{number:02}.jpg")
    outcome = hrdet("predict", finished_run.folder, tmp_path / "in", "--out", tmp_path / "out")
    assert "29.jpg" in outcome.stdout
    assert "30.jpg" not in outcome.stdout
    assert f"and 3 more in {tmp_path}/out/detections.json" in outcome.stdout


def test_names_that_are_no_text_or_would_move_the_cursor_are_shown_harmlessly(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for name in (os.fsdecode(b"\xff.jpg"), "\x1b[2Jx\n.jpg"):
        Image.new("RGB", (64, 48)).save(tmp_path / "in" / name)
    outcome = hrdet("predict", finished_run.folder, tmp_path / "in", "--out", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.stderr
    assert "?[2Jx?.jpg" in outcome.stdout
    assert "\x1b" not in outcome.stdout
    names = [image["file_name"] for image in read_json(tmp_path / "out")["images"]]
    assert names == ["\x1b[2Jx\n.jpg", "?.jpg"]
    assert sorted(path.name for path in (tmp_path / "out" / "drawn").iterdir()) == ["_.jpg", "_[2Jx_.jpg"]


def test_a_threshold_that_hides_what_was_asked_for_is_said(
    finished_run: FinishedRun, hrdet: Hrdet, pictures: Path, tmp_path: Path
) -> None:
    outcome = hrdet(
        "predict", finished_run.folder, pictures, "--min-score", "0.01", "--out", tmp_path / "out"
    )
    assert "note: the detector itself drops scores up to 0.05, more than --min-score 0.01" in outcome.stderr


def test_results_that_cannot_be_written_are_refused_before_the_work(
    finished_run: FinishedRun, hrdet: Hrdet, pictures: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    outcome = hrdet("predict", finished_run.folder, pictures, "--out", tmp_path / "file" / "out")
    assert outcome.exit_code == 5
    assert "choose another --out" in outcome.stderr


def test_weights_of_other_code_predict_and_evaluate_as_our_own(
    finished_run: FinishedRun, hrdet: Hrdet, pictures: Path, tmp_path: Path
) -> None:
    state = load_checkpoint(finished_run.folder / "checkpoints" / "best.pt")
    meta = {"dataset_meta": {"classes": tuple(state["class_names"])}}
    torch.save({"state_dict": to_mmdetection(state["model"]), "meta": meta}, tmp_path / "theirs.pth")
    spec = ("--spec", finished_run.folder / "spec.yaml")
    theirs = hrdet("predict", tmp_path / "theirs.pth", *spec, pictures, *FINDS_MUCH, "--json")
    assert theirs.exit_code == 0, theirs.stderr
    ours = hrdet("predict", finished_run.folder, pictures, *FINDS_MUCH, "--out", tmp_path / "ours", "--json")
    bare = [
        [(one["bbox"], one["score"]) for one in json.loads(outcome.stdout)["annotations"]]
        for outcome in (theirs, ours)
    ]
    assert bare[0] == bare[1]
    assert (tmp_path / "predict-theirs" / "detections.json").is_file()
    evaluated = [
        hrdet("eval", tmp_path / "theirs.pth", *spec, "--json"),
        hrdet("eval", finished_run.folder, "--json", "--out", tmp_path / "eval-ours"),
    ]
    assert evaluated[0].exit_code == 0, evaluated[0].stderr
    scores = [json.loads(outcome.stdout) for outcome in evaluated]
    assert scores[0].pop("made_from") != scores[1].pop("made_from")
    assert scores[0] == scores[1]
    assert (tmp_path / "eval-theirs" / "metrics.json").is_file()


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(finished_run: FinishedRun, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for number in range(400):
        Image.new("RGB", (640, 480)).save(tmp_path / "in" / f"{number:03}.jpg")
    process = ForkedHrdet("predict", finished_run.folder, tmp_path / "in", "--out", tmp_path / "out")
    deadline = time.monotonic() + 120
    while not (tmp_path / "out" / "drawn" / "000.jpg").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == 130, stderr
    assert stderr == "stopping after this batch; what is done is kept\n"
    document = read_json(tmp_path / "out")
    num_done = len(document["images"])
    assert 0 < num_done < 400
    assert len(list((tmp_path / "out" / "drawn").iterdir())) == num_done
    assert f"stopped before {400 - num_done} pictures" in stdout
