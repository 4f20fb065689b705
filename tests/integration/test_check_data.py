"""``hrdet check-data`` from the command line: lines, table, exit codes, JSON, and the cleaned file."""

import csv
import json
import os
import signal
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hrdet_cli.engine.data.coco_reading import load_coco
from tests.forked import ForkedHrdet
from tests.integration.conftest import NUM_TRAIN_PICTURES, FinishedRun, Hrdet, Outcome, tiny_options

_ODD = Path(__file__).parents[2].parent / "shared" / "data" / "odd_free"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four pictures of 30x20, ``train.json`` over them, a box each."""
    images, annotations = [], []
    (tmp_path / "images").mkdir()
    for index in range(4):
        noise = np.random.default_rng(index).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        Image.fromarray(noise).save(tmp_path / "images" / f"{index}.jpg")
        images.append({"id": index, "file_name": f"{index}.jpg", "width": 30, "height": 20})
        annotations.append({"id": index, "image_id": index, "category_id": 1, "bbox": [1, 1, 9, 9]})
    _write(tmp_path / "train.json", images, annotations)
    return tmp_path


def _write(path: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> None:
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "thing"}]}
    path.write_text(json.dumps(content))


def _damage(data: Path) -> None:
    """An error in the JSON, a box to clip, and three pictures of which each is wrong in its way."""
    content = json.loads((data / "train.json").read_text())
    content["annotations"][0]["bbox"] = [20, 1, 20, 9]
    content["annotations"].append({"id": 9, "image_id": 0, "category_id": 1, "bbox": [1, 1, float("nan"), 9]})
    (data / "train.json").write_text(json.dumps(content))
    Image.new("RGB", (20, 30)).save(data / "images" / "1.jpg")
    whole = (data / "images" / "2.jpg").read_bytes()
    (data / "images" / "2.jpg").write_bytes(whole[: len(whole) // 2])
    (data / "images" / "sub").mkdir()
    (data / "images" / "3.jpg").rename(data / "images" / "sub" / "3.JPG")


def test_sound_data_end_with_0(data: Path, hrdet: Hrdet) -> None:
    outcome = hrdet("check-data", data / "train.json", data / "images")
    assert outcome.exit_code == 0
    assert "4 pictures (0 without boxes), 4 annotations, 1 category" in outcome.stdout
    assert "all opened; 0 pictures not named" in outcome.stdout
    assert outcome.stdout.endswith("nothing wrong\n")
    assert outcome.stderr == ""


def test_each_problem_has_a_line_and_errors_end_with_3(data: Path, hrdet: Hrdet) -> None:
    _damage(data)
    outcome = hrdet("check-data", data / "train.json", data / "images")
    assert outcome.exit_code == 3
    lines = outcome.stdout.splitlines()
    assert lines[:4] == [
        "error: 0.jpg: annotations[4] (id 9): bbox is [1, 1, nan, 9]; expected four numbers "
        "[x, y, width, height] from -1e+09 to 1e+09 -> left out",
        f"error: 3.jpg: images[3] (id 3): is not in {data / 'images'}; there is sub/3.JPG "
        "-> left out with its annotations",
        lines[2],
        "error: 1.jpg: images[1] (id 1): is 20x30 but its annotations say 30x20, width x height. "
        "Correct the size and boxes in the annotation file, or the picture -> left out with its annotations",
    ]
    assert lines[2].startswith("error: 2.jpg: images[2] (id 2): cannot be decoded: ")
    assert (
        "warning: 0.jpg: annotations[0] (id 0): bbox is [20, 1, 20, 9] in a picture of 30x20"
        in outcome.stdout
    )
    assert lines[-1] == "4 errors, 2 warnings; training refuses these data"
    assert outcome.stderr == ""


def test_a_name_spelt_otherwise_than_its_file_is_found_by_all_commands_alike(
    data: Path, hrdet: Hrdet, tmp_path: Path
) -> None:
    content = json.loads((data / "train.json").read_text())
    for entry in content["images"]:
        entry["file_name"] = f"pictures\\Caf\u00e9 {entry['file_name']}"
    (data / "train.json").write_text(json.dumps(content))
    for file in [*(data / "images").iterdir()]:
        file.rename(file.with_name(f"Cafe\u0301%20{file.name}"))
    note = (
        "4 names found though the file's differs in folders, such as pictures\\Caf\u00e9 0.jpg, which is Cafe"
    )
    outcome = hrdet("check-data", data / "train.json", data / "images")
    assert outcome.exit_code == 0, outcome.stdout
    assert "4 pictures" in outcome.stdout
    assert note in " ".join(outcome.stdout.split())
    paths = (data / "train.json", data / "images")
    options = ("--preset", "demo", "--train-data", *paths, "--val-data", *paths)
    for command in (("train", "--dry-run"), ("inspect-batch", "--out", tmp_path / "sheets")):
        outcome = hrdet(*command, *options)
        assert outcome.exit_code == 0, outcome.stderr
        assert outcome.stderr.count(note) == 1


def test_several_training_data_sets_are_checked_one_by_one_and_against_each_other(
    data: Path, hrdet: Hrdet
) -> None:
    content = json.loads((data / "train.json").read_text())
    content["categories"].append({"id": 5, "name": "other"})
    (data / "train.json").write_text(json.dumps(content))
    content["annotations"] = []
    content["categories"].reverse()
    (data / "empty.json").write_text(json.dumps(content))
    content["categories"][0]["name"] = "yak"
    (data / "yak.json").write_text(json.dumps(content))

    def check(*names: str, more: tuple[str, ...] = ()) -> Outcome:
        sets = [word for name in names for word in ("--train-data", data / name, data / "images")]
        val = ("--val-data", data / "empty.json", data / "images")
        return hrdet("check-data", "--preset", "demo", "--no-open", *sets, *val, *more)

    both = check("train.json", "empty.json")  # one with boxes is enough, and classes go by their names
    assert (both.exit_code, both.stderr) == (0, "")
    assert "training data 1\ntrain.json " in both.stdout
    assert "training data 2\nempty.json " in both.stdout
    assert "note: 4 of its pictures are in training data before it too, such as " in both.stdout
    assert "note: 4 of its pictures are training pictures too, such as " in both.stdout
    other = check("train.json", "yak.json")
    assert other.exit_code == 3
    assert "error: train 2: yak.json: its categories are not those of the first training data: it lacks" in (
        other.stdout
    )
    empty = check("empty.json", "empty.json")
    assert (empty.exit_code, empty.stdout.count("no picture has a box to train on")) == (3, 1)
    parts = json.loads(check("train.json", "empty.json", more=("--json",)).stdout)["parts"]
    assert [(part["part"], part["number"]) for part in parts] == [("train", 1), ("train", 2), ("val", None)]


def test_fix_out_writes_what_can_be_used_and_never_touches_the_input(data: Path, hrdet: Hrdet) -> None:
    _damage(data)
    before = (data / "train.json").read_bytes()
    arguments = ("check-data", data / "train.json", data / "images", "--fix-out", data / "new" / "clean.json")
    outcome = hrdet(*arguments)
    assert outcome.exit_code == 3  # the input still has errors
    assert "clean.json: 3 pictures and 4 annotations left out, 1 annotation changed" in outcome.stdout
    assert (data / "train.json").read_bytes() == before
    clean = load_coco(data / "new" / "clean.json")
    assert clean.file_names.tolist() == ["0.jpg"]
    assert clean.targets_of(0)[0].tolist() == [[20, 1, 30, 10]]
    assert hrdet("check-data", data / "new" / "clean.json", data / "images").exit_code == 0
    written = (data / "new" / "clean.json").read_bytes()
    (data / "new" / "clean.json").unlink()
    hrdet(*arguments, "--workers", "0")
    assert (data / "new" / "clean.json").read_bytes() == written
    assert [file.name for file in (data / "new").iterdir()] == ["clean.json"]


@pytest.mark.parametrize("name", ["train.json", "images/0.jpg"])
def test_fix_out_replaces_no_file(data: Path, hrdet: Hrdet, name: str) -> None:
    before = (data / name).read_bytes()
    outcome = hrdet("check-data", data / "train.json", data / "images", "--fix-out", data / name)
    assert outcome.exit_code == 5
    assert "exists already; name a new file with --fix-out" in outcome.stderr
    assert (data / name).read_bytes() == before


def test_fix_out_does_not_even_write_its_temporary_file_over_the_input(data: Path, hrdet: Hrdet) -> None:
    source = (data / "train.json").rename(data / "clean.json.tmp")
    before = source.read_bytes()
    outcome = hrdet("check-data", source, "--fix-out", data / "clean.json")
    assert outcome.exit_code == 5
    assert "clean.json: cannot be written by way of clean.json.tmp: File exists" in outcome.stderr
    assert source.read_bytes() == before


def test_what_must_be_mended_by_hand_is_shown_and_nothing_is_written(data: Path, hrdet: Hrdet) -> None:
    content = json.loads((data / "train.json").read_text())
    content["categories"].append({"id": 1, "name": "other"})
    (data / "train.json").write_text(json.dumps(content))
    outcome = hrdet("check-data", data / "train.json", "--fix-out", data / "clean.json")
    assert outcome.exit_code == 3
    assert "categories[1] (id 1): id 1 is taken by categories[0] (id 1) -> mend it by hand" in outcome.stdout
    assert "before its broken category is mended by hand" in outcome.stderr
    assert not (data / "clean.json").exists()


def test_without_images_or_with_no_open_nothing_is_decoded(data: Path, hrdet: Hrdet) -> None:
    (data / "images" / "1.jpg").write_bytes(b"no picture")
    alone = hrdet("check-data", data / "train.json")
    assert (alone.exit_code, "not looked at; give IMAGES too" in alone.stdout) == (0, True)
    present = hrdet("check-data", data / "train.json", data / "images", "--no-open")
    assert (present.exit_code, "looked for, none opened" in present.stdout) == (0, True)
    (data / "images" / "1.jpg").unlink()
    absent = hrdet("check-data", data / "train.json", data / "images", "--no-open")
    assert (absent.exit_code, "1.jpg: images[1] (id 1): is not in" in absent.stdout) == (3, True)


def test_show_limits_the_lines_of_a_kind_and_says_how_many_more_there_are(data: Path, hrdet: Hrdet) -> None:
    content = json.loads((data / "train.json").read_text())
    content["annotations"] += [
        {"id": 10 + i, "image_id": 77, "category_id": 1, "bbox": [1, 1, 9, 9]} for i in range(20)
    ]
    (data / "train.json").write_text(json.dumps(content))
    short = hrdet("check-data", data / "train.json", "--show", "3").stdout
    assert short.count("there is no image_id 77") == 3
    assert "17 more of the kind 'unknown picture'; --show 0 shows all" in short
    assert (
        hrdet("check-data", data / "train.json", "--show", "0").stdout.count("there is no image_id 77") == 20
    )


def test_json_is_one_document_for_programs(data: Path, hrdet: Hrdet) -> None:
    _damage(data)
    outcome = hrdet("check-data", data / "train.json", data / "images", "--json")
    assert outcome.exit_code == 3
    (part,) = json.loads(outcome.stdout)["parts"]
    assert part["num_pictures"] == 4
    assert {
        "kind": "picture unreadable",
        "severity": "error",
        "count": 1,
        "fix": "left out with its annotations",
    } in (part["counts"])
    assert part["problems"][1]["file"] == "3.jpg"
    assert part["problems"][1]["item"] == "images[3] (id 3)"


def test_an_archive_is_checked_like_a_folder(data: Path, hrdet: Hrdet) -> None:
    with zipfile.ZipFile(data / "images.zip", "w") as archive:
        for index in range(3):
            archive.write(data / "images" / f"{index}.jpg", f"images/{index}.jpg")
        archive.write(data / "images" / "3.jpg", "images/unnamed.jpg")
        archive.writestr("images/2.jpg.txt", "no picture")
    outcome = hrdet("check-data", data / "train.json", data / "images.zip")
    assert outcome.exit_code == 3
    assert "3.jpg: images[3] (id 3): is not in" in outcome.stdout
    assert "all opened; 1 picture not named" in outcome.stdout


def test_an_experiment_is_checked_in_both_parts_and_between_them(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    options = tiny_options(finished_run.data_root)
    outcome = hrdet("check-data", *options)
    assert outcome.exit_code == 0, outcome.stdout
    assert f"training data\ntrain.json  {NUM_TRAIN_PICTURES} pictures" in outcome.stdout
    assert "validation data\nval.json    6 pictures" in outcome.stdout
    assert "\nanchors: scale " in outcome.stdout
    content = json.loads((finished_run.data_root / "train.json").read_text())
    content["categories"][0]["name"] = "another"
    (tmp_path / "other.json").write_text(json.dumps(content))
    images = finished_run.data_root / "images.zip"
    train = ("--train-data", finished_run.data_root / "train.json", images)
    outcome = hrdet("check-data", "--preset", "demo", *train, "--val-data", tmp_path / "other.json", images)
    assert outcome.exit_code == 3
    assert (
        "error: val: other.json: its categories are not those of the training data; they differ in another"
        in outcome.stdout
    )
    assert f"note: {NUM_TRAIN_PICTURES} of its pictures are training pictures too" in outcome.stdout


def test_a_training_part_without_a_box_is_refused_as_training_refuses_it(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    content = json.loads((finished_run.data_root / "train.json").read_text())
    for annotation in content["annotations"]:
        annotation["iscrowd"] = 1
    (tmp_path / "same.json").write_text(json.dumps(content))
    part = (tmp_path / "same.json", finished_run.data_root / "images.zip")
    experiment = ("--preset", "demo", "--train-data", *part, "--val-data", *part)
    fault = (
        "same.json: no picture has a box to train on; "
        "set data.keep_pictures_without_boxes=true to train on empty pictures"
    )
    assert fault in hrdet("train", *experiment, "--dry-run").stderr
    refused = hrdet("check-data", *experiment, "--no-open", "--json")
    train, val = json.loads(refused.stdout)["parts"]
    assert (refused.exit_code, train["part"], val["part"]) == (3, "train", "val")
    assert ["same.json: " + problem["what"] for problem in train["problems"]] == [fault]
    assert val["problems"] == []
    keeping = ("--set", "data.keep_pictures_without_boxes=true")
    assert hrdet("check-data", *experiment, "--no-open", *keeping).exit_code == 0
    alone = hrdet("check-data", tmp_path / "same.json")
    assert alone.exit_code == 0
    assert "note: no picture has a box to train on; training refuses that unless" in alone.stdout
    assert alone.stdout.endswith("no errors, 0 warnings; but see the note above\n")
    content["annotations"][0]["iscrowd"] = 0
    name = next(
        category["name"]
        for category in content["categories"]
        if category["id"] != content["annotations"][0]["category_id"]
    )
    (tmp_path / "same.json").write_text(json.dumps(content))
    assert hrdet("check-data", *experiment, "--no-open").exit_code == 0
    chosen = hrdet("check-data", *experiment, "--no-open", "--set", f"data.classes=['{name}']")
    assert (chosen.exit_code, fault in chosen.stdout) == (3, True)


def test_more_workers_than_cores_are_no_reason_to_warn(data: Path, hrdet: Hrdet) -> None:
    content = json.loads((data / "train.json").read_text())
    for index in range(4, 16 * 65):  # opened 16 at a time: 65 processes could share them
        name = f"{index}.jpg"
        (data / "images" / name).symlink_to(data / "images" / "0.jpg")
        content["images"].append({"id": index, "file_name": name, "width": 30, "height": 20})
    (data / "train.json").write_text(json.dumps(content))
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])
    try:
        outcome = hrdet("check-data", data / "train.json", data / "images", "--workers", "10000")
    finally:
        os.sched_setaffinity(0, cores)
    assert (outcome.exit_code, outcome.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give SOURCE, or an experiment with --preset or --spec"),
        (["a.json", "images", "--preset", "demo"], "give SOURCE, or an experiment with"),
        (["--preset", "demo", "--fix-out", "x.json"], "--fix-out cleans one file"),
        (["a.json", "--no-open"], "--no-open is about pictures: name their folder or .zip too"),
        (["a.json", "--workers", "0"], "--workers is about pictures: name their folder or .zip too"),
        (["a.json", "images", "--no-open", "--workers", "1"], "--no-open opens none: give one of them"),
    ],
)
def test_contradictory_options_are_refused(
    hrdet: Hrdet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.json").touch()
    Path("images").mkdir()
    outcome = hrdet("check-data", *arguments)
    assert (outcome.exit_code, message in outcome.stderr) == (2, True)


def test_odd_pictures_are_read_and_a_truncated_one_is_told(hrdet: Hrdet, tmp_path: Path) -> None:
    if not _ODD.is_dir():
        pytest.skip(f"needs the data set in {_ODD}")
    with (_ODD / "WHY.csv").open() as file:
        rows = list(csv.DictReader(file))
    images = [
        {"id": i, "file_name": row["file"], "width": int(row["width"]), "height": int(row["height"])}
        for i, row in enumerate(rows)
    ]
    _write(tmp_path / "odd.json", images, [])
    outcome = hrdet("check-data", tmp_path / "odd.json", _ODD / "images")
    assert outcome.exit_code == 3
    assert [
        line.split(":")[1].strip() for line in outcome.stdout.splitlines() if line.startswith("error: ")
    ] == ["pillow_truncated_jpeg.jpg"]


def _obey_interrupts() -> None:
    """Tests that run in the background of a shell, and what they start, would ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.distributed
def test_ctrl_c_ends_it_at_once_with_130(data: Path) -> None:
    pictures = [{"id": i, "file_name": f"{i}.jpg", "width": 1800, "height": 1200} for i in range(2000)]
    Image.effect_noise((1800, 1200), 80).save(data / "images" / "0.jpg", quality=95)
    for index in range(1, 2000):
        (data / "images" / f"{index}.jpg").unlink(missing_ok=True)
        (data / "images" / f"{index}.jpg").symlink_to(data / "images" / "0.jpg")
    _write(data / "many.json", pictures, [])
    num_workers = min(2, len(os.sched_getaffinity(0)))
    options = [f"{data}/many.json", f"{data}/images", "--workers", str(num_workers)]
    process = ForkedHrdet("check-data", *options, prepare=_obey_interrupts)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None and len(children.read_text().split()) < num_workers:
        time.sleep(0.1)  # until its workers open pictures
    os.killpg(process.pid, signal.SIGINT)
    started = time.monotonic()
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, "Traceback" in stderr) == (130, "", False)
    assert time.monotonic() - started < 10


def test_broken_masks_are_errors_of_an_experiment_with_masks_alone(data: Path, hrdet: Hrdet) -> None:
    content = json.loads((data / "train.json").read_text())
    for annotation in content["annotations"]:
        annotation["segmentation"] = [[1, 1, 10, 1, 1, 10]]
    content["annotations"][2]["segmentation"] = {"size": [30, 20], "counts": [21, 9, 570]}
    (data / "train.json").write_text(json.dumps(content))
    options = (
        "--preset",
        "demo-mask",
        "--train-data",
        data / "train.json",
        data / "images",
        "--set",
        "data.val=null",
    )
    with_masks = hrdet("check-data", *options, "--no-open")
    assert with_masks.exit_code == 3
    assert (
        "error: train: 2.jpg: annotations[2] (id 2): segmentation has size [30, 20]; expected [20, 30], "
        "height and width of its picture -> an empty one"
    ) in with_masks.stdout
    boxes_alone = hrdet(
        "check-data",
        *options,
        "--no-open",
        "--set",
        "model.head.mask=null",
        "--set",
        "evaluation.best_by=box",
    )
    assert boxes_alone.exit_code == 0
    assert "warning: train: 2.jpg: annotations[2] (id 2): segmentation has size" in boxes_alone.stdout
    refused = hrdet("train", *options, "--dry-run")
    assert refused.exit_code == 3
    assert "annotations[2] (id 2): segmentation has size [30, 20]" in refused.stderr
