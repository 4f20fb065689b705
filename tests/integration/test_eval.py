"""``hrdet eval`` from the outside."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image
from pycocotools.coco import COCO

from tests.integration.conftest import FinishedRun, Hrdet

BOX_KEYS = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]


def test_json_prints_the_documented_keys_and_nothing_else(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    outcome = hrdet("eval", "--report", finished_run.folder, "--out", tmp_path, "--json")
    assert outcome.exit_code == 0
    document = json.loads(outcome.stdout)
    assert list(document["box"]) == BOX_KEYS
    assert len(document["classes"]) == 6
    written = json.loads((tmp_path / "metrics.json").read_text())
    assert written == document
    assert {file.name for file in tmp_path.iterdir()} == {
        "metrics.json",
        "detections.json",
        "detections.png",
        "precision-recall.png",
        "report.html",
        "report.suspects.json",
    }
    reviewed = hrdet("check-data", "--suspects", tmp_path / "report.suspects.json")
    assert reviewed.exit_code == 0
    assert f"of {finished_run.data_root / 'val.json'}, 0 settled" in reviewed.stdout


def test_detections_are_in_coco_format_inside_the_original_pictures(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    setting = "model.head.roi_head.score_threshold=0.001"  # two epochs find little
    assert hrdet("eval", finished_run.folder, "--out", tmp_path, "--set", setting).exit_code == 0
    truth = COCO(str(finished_run.data_root / "val.json"))
    found = truth.loadRes(str(tmp_path / "detections.json"))
    assert found.anns
    for annotation in found.anns.values():
        picture = truth.imgs[annotation["image_id"]]
        x, y, width, height = annotation["bbox"]
        assert min(x, y) >= 0
        assert x + width <= picture["width"] + 1e-3
        assert y + height <= picture["height"] + 1e-3
    reach = max(a["bbox"][0] + a["bbox"][2] for a in found.anns.values())
    assert reach > 160, "boxes are in the pictures' own pixels, not in those of the 160-pixel canvas"


@pytest.mark.slow
def test_detections_do_not_depend_on_the_batch_size(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    results = []
    for batch_size in (1, 3):
        out = tmp_path / str(batch_size)
        settings = [f"evaluation.batch_size={batch_size}", "model.head.roi_head.score_threshold=0.01"]
        options = [word for setting in settings for word in ("--set", setting)]
        assert hrdet("eval", finished_run.folder, "--out", out, *options).exit_code == 0
        results.append(json.loads((out / "detections.json").read_text()))
    assert len(results[0]) == len(results[1]) > 0
    for one, other in zip(*results, strict=True):
        assert (one["image_id"], one["category_id"]) == (other["image_id"], other["category_id"])
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)
        assert one["bbox"] == pytest.approx(other["bbox"], abs=1e-2)


def test_data_with_other_category_ids_is_matched_by_name(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    content = json.loads((finished_run.data_root / "val.json").read_text())
    for item in content["categories"]:
        item["id"] += 1000
    for item in content["annotations"]:
        item["category_id"] += 1000
    content["categories"].reverse()
    moved = tmp_path / "moved.json"
    moved.write_text(json.dumps(content))
    images = finished_run.data_root / "images.zip"
    plain = hrdet("eval", finished_run.folder, "--out", tmp_path / "a", "--json")
    other = hrdet("eval", finished_run.folder, "--val-data", moved, images, "--out", tmp_path / "b", "--json")
    assert json.loads(other.stdout)["box"] == json.loads(plain.stdout)["box"]
    ids = {d["category_id"] for d in json.loads((tmp_path / "b" / "detections.json").read_text())}
    assert all(number > 1000 for number in ids)


def test_results_on_other_data_lie_apart_and_say_what_they_were_made_from(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    other = tmp_path / "test set.json"
    other.write_bytes((finished_run.data_root / "val.json").read_bytes())
    run = tmp_path / "run"
    shutil.copytree(finished_run.folder, run)
    assert hrdet("eval", run).exit_code == 0
    own = json.loads((run / "eval-best" / "metrics.json").read_text())["made_from"]
    assert hrdet("eval", run, "--val-data", other, finished_run.data_root / "images.zip").exit_code == 0
    apart = json.loads((run / "eval-best-on-test set" / "metrics.json").read_text())["made_from"]
    assert (own["step"], own["epoch"]) == (apart["step"], apart["epoch"])
    assert own["annotations"] == str(finished_run.data_root / "val.json")
    assert apart["annotations"] == str(other)
    assert own["weights"] == apart["weights"] == str(run / "checkpoints" / "best.pt")
    assert json.loads((run / "eval-best" / "metrics.json").read_text())["made_from"] == own
    while_training = json.loads((run / "evaluation" / "metrics.json").read_text())["made_from"]
    assert while_training["weights"].endswith("raw weights")


def _rename_categories(finished_run: FinishedRun, path: Path, *, num_renamed: int) -> list[str]:
    """Write the validation data with some categories under other names; returns those they had."""
    content = json.loads((finished_run.data_root / "val.json").read_text())
    names = [category["name"] for category in content["categories"][:num_renamed]]
    for number, category in enumerate(content["categories"][:num_renamed]):
        category["name"] = f"something else {number}"
    path.write_text(json.dumps(content))
    return names


def test_detections_of_a_class_that_the_data_lack_are_left_out_and_this_is_said(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    (name,) = _rename_categories(finished_run, tmp_path / "renamed.json", num_renamed=1)
    data = ("--val-data", tmp_path / "renamed.json", finished_run.data_root / "images.zip")
    low = ("--set", "model.head.roi_head.score_threshold=0.001")
    plain = hrdet("eval", finished_run.folder, *low, "--out", tmp_path / "a", "--json")
    other = hrdet("eval", finished_run.folder, *data, *low, "--out", tmp_path / "b", "--json")
    assert f"not in the annotations, detections left out: {name}" in other.stderr
    assert "unknown to the detector, counted as 0: something else 0" in other.stderr
    before, after = (json.loads(outcome.stdout)["classes"] for outcome in (plain, other))
    assert [*after.values()][1:] == [*before.values()][1:]
    assert after["something else 0"]["AP"] == 0
    lost = json.loads((finished_run.data_root / "val.json").read_text())["categories"][0]["id"]
    kept = [
        one
        for one in json.loads((tmp_path / "a" / "detections.json").read_text())
        if one["category_id"] != lost
    ]
    assert json.loads((tmp_path / "b" / "detections.json").read_text()) == kept


def test_data_without_any_trained_class_are_refused(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    names = _rename_categories(finished_run, tmp_path / "renamed.json", num_renamed=6)
    data = ("--val-data", tmp_path / "renamed.json", finished_run.data_root / "images.zip")
    outcome = hrdet("eval", finished_run.folder, *data)
    assert outcome.exit_code == 3
    known = ", ".join(map(repr, names[:5]))
    assert (
        f"has no category that the detector knows, which are {known}, ...; evaluate on data" in outcome.stderr
    )


def test_a_table_shows_the_numbers_and_the_classes(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    outcome = hrdet("eval", finished_run.folder / "checkpoints" / "last.pt", "--out", tmp_path)
    assert outcome.exit_code == 0
    assert "striped disc" in outcome.stdout
    for key in BOX_KEYS:
        assert key in outcome.stdout
    assert "precision-recall.png" in outcome.stdout


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist; give a run folder, a checkpoint"),
        (b"not a checkpoint", "are no weights but a text"),
    ],
)
def test_what_is_no_checkpoint_is_refused(
    hrdet: Hrdet, tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "file.pt"
    if content is not None:
        path.write_bytes(content)
    outcome = hrdet("eval", path)
    assert outcome.exit_code == 4
    assert str(path) in outcome.stderr
    assert message in outcome.stderr


def test_a_class_the_detector_does_not_know_is_said_where_it_counts(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    content = json.loads((finished_run.data_root / "val.json").read_text())
    content["categories"] += [{"id": 999, "name": "unicorn"}, {"id": 1000, "name": "of no box"}]
    content["annotations"][0]["category_id"] = 999
    more = tmp_path / "more.json"
    more.write_text(json.dumps(content))
    data = ("--val-data", more, finished_run.data_root / "images.zip")
    outcome = hrdet("eval", finished_run.folder, *data, "--out", tmp_path / "out")
    assert outcome.stderr == "note: unknown to the detector, counted as 0: unicorn\n"


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    outcome = hrdet("eval", finished_run.folder, "--out", tmp_path / "file" / "out")
    assert outcome.exit_code == 5
    assert "choose another --out" in outcome.stderr


def test_a_picture_as_thin_as_a_ruler_is_evaluated(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    Image.new("RGB", (1600, 24)).save(tmp_path / "ruler.png")
    content = json.loads((finished_run.data_root / "val.json").read_text())
    content["images"] = [{"id": 1, "file_name": "ruler.png", "width": 1600, "height": 24}]
    content["annotations"] = []
    (tmp_path / "ruler.json").write_text(json.dumps(content))
    data = ("--val-data", tmp_path / "ruler.json", tmp_path)
    outcome = hrdet("eval", finished_run.folder, *data, "--out", tmp_path / "out", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    assert json.loads(outcome.stdout)["box"]["AP"] is None


def test_weights_that_do_not_fit_are_refused_and_leave_no_folder(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    change = ("--set", "model.neck.channels=32")
    outcome = hrdet("eval", finished_run.folder, *change, "--out", tmp_path / "out")
    assert outcome.exit_code == 4
    assert "its weights do not fit the detector that the spec describes" in outcome.stderr
    assert not (tmp_path / "out").exists()


def test_pictures_with_more_boxes_than_detections_are_named_with_the_settings(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    setting = ("--set", "model.head.roi_head.max_detections=2")
    outcome = hrdet("eval", finished_run.folder, *setting, "--out", tmp_path)
    assert outcome.exit_code == 0, outcome.stderr
    assert "more boxes than the 2 detections that are kept of one" in outcome.stderr
    assert "out of reach: --set model.head.roi_head.max_detections=100" in outcome.stderr
    assert "out of reach" not in hrdet("eval", finished_run.folder, "--out", tmp_path).stderr


def test_annotations_are_refused_as_training_refuses_them(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    content = json.loads((finished_run.data_root / "val.json").read_text())
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        annotation["bbox"] = [x, y, x + width, y + height]
    path = tmp_path / "corners.json"
    path.write_text(json.dumps(content))
    options = ("eval", finished_run.folder, "--val-data", path, finished_run.data_root / "images.zip")
    outcome = hrdet(*options)
    assert (outcome.exit_code, "they are corners [x1, y1, x2, y2]" in outcome.stderr) == (3, True)
    path.write_bytes(b'{"images": "\xf6l"}')
    outcome = hrdet(*options)
    assert (outcome.exit_code, "byte 12, in line 1, is 0xf6" in outcome.stderr) == (3, True)


def test_saved_results_are_compared_on_the_screen_in_json_and_on_a_page(
    finished_run: FinishedRun, hrdet: Hrdet, tmp_path: Path
) -> None:
    evaluation, copy = finished_run.folder / "evaluation", tmp_path / "copy"
    shutil.copytree(evaluation, copy)
    page = tmp_path / "page.html"
    outcome = hrdet("compare", evaluation, copy, "--html", page)
    assert outcome.exit_code == 0
    assert "note: " in outcome.stderr, "of the copy no run is known"
    assert "A and B are the same: +0.000 (+0.000 to +0.000)" in outcome.stdout
    assert outcome.stdout.endswith(f"{page}\n")
    assert "They make as many errors in every picture." in page.read_text()
    outcome = hrdet("compare", evaluation, copy, "--json")
    assert outcome.exit_code == 0
    assert json.loads(outcome.stdout)["differences"][0]["box"]["numbers"]["AP"]["verdict"] == "the same"
    outcome = hrdet("compare", evaluation, "vs")
    assert (outcome.exit_code, outcome.stdout) == (2, "")
    assert "hrdet compare A1 A2 vs B1 B2" in outcome.stderr
