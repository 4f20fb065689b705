"""Pictures that are broken or damaged: what a run and an evaluation do, and that the advised cures work."""

import io
import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from hrdet_cli.engine.data.decoding import decode_picture
from tests.integration.conftest import ONE_EPOCH, FinishedRun, Hrdet, metric_lines, unpacked_options

pytestmark = pytest.mark.slow


def options_of(data: Path, *more: str) -> list[str]:
    return unpacked_options(data, *ONE_EPOCH, *more)


def files_of(data: Path, part: str) -> list[Path]:
    entries: list[dict[str, Any]] = json.loads((data / f"{part}.json").read_text())["images"]
    return [data / "images" / entry["file_name"] for entry in entries]


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


def damage(file: Path) -> None:
    """Make a JPEG of a picture and take some bytes out of its pixels."""
    buffer = io.BytesIO()
    Image.open(file).convert("RGB").save(buffer, "JPEG", quality=95)
    content = buffer.getvalue()
    middle = (content.index(b"\xff\xda") + len(content)) // 2
    file.write_bytes(content[:middle] + content[middle + 200 :])


def is_noticed(file: Path) -> bool:
    return decode_picture(file.read_bytes(), expected=None, name=file.name).damage is not None


def test_a_run_counts_damaged_pictures_and_scores_without_broken_ones_and_says_both(
    unpacked: Path, hrdet: Hrdet, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    for file in files_of(unpacked, "train"):
        damage(file)
    broken, damaged = files_of(unpacked, "val")[:2]
    cut(broken)
    damage(damaged)
    assert is_noticed(damaged)
    settings = ("data.num_workers=2", "data.keep_pictures_without_boxes=true")
    outcome = hrdet("train", *options_of(unpacked, *settings), "--run-dir", folder)
    assert outcome.exit_code == 0, outcome.stderr
    record = json.loads((folder / "run.json").read_text())
    noticed = [file.name for file in files_of(unpacked, "train") if is_noticed(file)]
    assert len(noticed) > 6
    assert sorted(record["damaged_pictures"]) == sorted(noticed)
    assert f"damaged JPEG data in {len(noticed)} training pictures so far, trained on" in outcome.stdout
    num_others = len(files_of(unpacked, "val")) - 1
    told = f"scored without 1 picture that cannot be read, on the other {num_others}; the first: picture "
    assert outcome.stdout.count(f"{told}{broken.name} cannot be decoded") == 1
    assert f"damaged JPEG data in 1 picture, scored as far as decoded; the first: {damaged.name}" in (
        outcome.stdout
    )
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    assert list(metrics["broken_pictures"]) == [broken.name]
    assert list(metrics["damaged_pictures"]) == [damaged.name]
    (line,) = (line for line in metric_lines(folder) if line["kind"] == "evaluation")
    assert line["num_broken_pictures"] == 1

    outcome = hrdet("eval", folder)
    assert outcome.exit_code == 3
    assert broken.name in outcome.stderr
    assert "To score the others: add --set data.broken_pictures=skip" in outcome.stderr
    outcome = hrdet("eval", folder, "--set", "data.broken_pictures=skip", "--out", tmp_path / "out")
    assert outcome.exit_code == 0, outcome.stderr
    assert f"{told}{broken.name}" in outcome.stderr
    again = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert again["box"] == metrics["box"]


def test_where_no_validation_picture_can_be_read_the_epoch_is_kept_and_the_run_can_go_on(
    unpacked: Path, hrdet: Hrdet, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    contents = {file: file.read_bytes() for file in files_of(unpacked, "val")}
    for file in contents:
        cut(file)
    outcome = hrdet("train", *options_of(unpacked), "--run-dir", folder)
    assert outcome.exit_code == 3
    assert f"{unpacked / 'val.json'}: none of its {len(contents)} pictures can be read" in outcome.stderr
    for file, content in contents.items():
        file.write_bytes(content)
    outcome = hrdet("train", "--resume", "--run-dir", folder)
    assert outcome.exit_code == 0, outcome.stderr
    assert (folder / "checkpoints" / "best.pt").is_file()


def test_each_cure_that_the_error_of_a_broken_training_picture_advises_works(
    unpacked: Path, hrdet: Hrdet, tmp_path: Path
) -> None:
    folder = tmp_path / "r u n"
    *_, broken = files_of(unpacked, "train")
    whole = broken.read_bytes()
    cut(broken)
    outcome = hrdet("train", *options_of(unpacked, "evaluation.every_num_epochs=0"), "--run-dir", folder)
    assert outcome.exit_code == 3
    error, *advice = map(str.strip, outcome.stderr.strip().split("\n"))
    assert broken.name in error
    mended, skipping, check, resume = [shlex.split(line)[1:] for line in advice if line.startswith("hrdet ")]
    copies = {name: tmp_path / name / "r u n" for name in ("mended", "skipping", "cleaning")}
    for copy in copies.values():
        shutil.copytree(folder, copy)

    def follow(name: str, command: list[str]) -> Any:
        return hrdet(*(str(copies[name]) if word == str(folder) else word for word in command))

    outcome = follow("skipping", skipping)
    assert outcome.exit_code == 0, outcome.stderr
    assert follow("cleaning", check).exit_code == 3
    outcome = follow("cleaning", resume)
    assert outcome.exit_code == 0, outcome.stderr
    assert "the training data have changed" in outcome.stdout
    assert torch.load(copies["cleaning"] / "checkpoints" / "last.pt")["num_finished_epochs"] == 1
    broken.write_bytes(whole)
    assert follow("mended", mended).exit_code == 0


def test_a_run_may_go_on_with_other_validation_data_and_says_so(
    unpacked: Path, finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished_run.folder, folder)
    content = json.loads((unpacked / "val.json").read_text())
    content["images"] = content["images"][1:]
    kept = {entry["id"] for entry in content["images"]}
    content["annotations"] = [item for item in content["annotations"] if item["image_id"] in kept]
    (unpacked / "fewer.json").write_text(json.dumps(content))
    outcome = hrdet(
        "train", "--resume", "--run-dir", folder, "--val-data", unpacked / "fewer.json", unpacked / "images"
    )
    assert outcome.exit_code == 0, outcome.stderr
    assert "fewer.json: the validation data are not those of before" in outcome.stdout


@pytest.mark.parametrize("change", ["more pictures", "other classes"])
def test_a_run_does_not_go_on_with_other_training_data(
    unpacked: Path, finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path, change: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished_run.folder, folder)
    for part in ("train", "val"):
        content = json.loads((unpacked / f"{part}.json").read_text())
        if change == "other classes":
            content["categories"][0]["name"] = "heap"
        elif part == "train":
            extra = content["images"][0] | {"id": 10_000, "file_name": files_of(unpacked, "val")[0].name}
            content["images"].append(extra)
        (unpacked / f"{part}.json").write_text(json.dumps(content))
    paths = {part: (unpacked / f"{part}.json", unpacked / "images") for part in ("train", "val")}
    outcome = hrdet(
        "train", "--resume", "--run-dir", folder, "--train-data", *paths["train"], "--val-data", *paths["val"]
    )
    assert outcome.exit_code == 3
    assert "has other content than the training data" in outcome.stderr
    reasons = {
        "more pictures": "A run may go on without some of them",
        "other classes": "its classes are others",
    }
    assert reasons[change] in outcome.stderr
