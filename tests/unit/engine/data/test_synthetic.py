import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from hrdet_cli.engine.data import synthetic
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.data.synthetic import make_demo_data
from hrdet_cli.errors import DataError

PARTS = ("train", "val")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "data"
    make_demo_data(folder, seed=5, num_train_images=20, num_val_images=12)
    return folder


@pytest.fixture(params=PARTS)
def document(request: pytest.FixtureRequest, demo: Path) -> Any:
    return json.loads((demo / f"{request.param}.json").read_text())


def make_few(folder: Path, *, seed: int = 1, num_train_images: int = 2) -> None:
    make_demo_data(folder, seed=seed, num_train_images=num_train_images, num_val_images=1)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def members(folder: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(folder / "images.zip") as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_same_arguments_make_the_same_bytes(tmp_path: Path) -> None:
    make_few(tmp_path / "a")
    make_few(tmp_path / "b")
    assert set(contents(tmp_path / "a")) == {"train.json", "val.json", "images.zip", "demo.json"}
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_another_seed_makes_other_pictures(tmp_path: Path) -> None:
    make_few(tmp_path / "a", seed=1)
    make_few(tmp_path / "b", seed=2)
    first, second = members(tmp_path / "a"), members(tmp_path / "b")
    assert all(first[name] != second[name] for name in first)


def test_more_pictures_leave_the_first_ones_as_they_are(tmp_path: Path) -> None:
    make_few(tmp_path / "a", num_train_images=2)
    make_few(tmp_path / "b", num_train_images=3)
    assert members(tmp_path / "a").items() < members(tmp_path / "b").items()


def test_no_picture_is_in_both_parts(demo: Path) -> None:
    assert len(set(members(demo).values())) == 32


def test_every_annotated_picture_is_stored_with_its_size(demo: Path, document: Any) -> None:
    stored = members(demo)
    for image in document["images"]:
        picture = Image.open(io.BytesIO(stored["images/" + image["file_name"]]))
        assert picture.size == (image["width"], image["height"])


def test_pictures_are_of_several_kinds(demo: Path) -> None:
    kinds = {
        (part, picture.format, picture.mode)
        for name, data in members(demo).items()
        for part, picture in [(name.split("/")[1].split("_")[0], Image.open(io.BytesIO(data)))]
    }
    assert kinds == {(p, *kind) for p in PARTS for kind in [("JPEG", "RGB"), ("PNG", "RGB"), ("JPEG", "L")]}


def test_the_archive_is_stored_and_has_no_clock_in_it(demo: Path) -> None:
    with zipfile.ZipFile(demo / "images.zip") as archive:
        entries = archive.infolist()
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}


def test_each_part_has_both_orientations_crowds_and_empty_pictures(document: Any) -> None:
    landscape = {image["width"] > image["height"] for image in document["images"]}
    annotated = {annotation["image_id"] for annotation in document["annotations"]}
    assert landscape == {True, False}
    assert sum(annotation["iscrowd"] for annotation in document["annotations"]) >= 1
    assert {image["id"] for image in document["images"]} - annotated


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools
def test_pycocotools_reads_masks_that_fill_their_boxes(demo: Path) -> None:
    for part in PARTS:
        coco = COCO(demo / f"{part}.json")
        assert sorted(coco.getCatIds()) == [3, 7, 8, 12, 20, 41]
        for annotation in coco.loadAnns(coco.getAnnIds()):
            mask = coco.annToMask(annotation)
            x, y, width, height = annotation["bbox"]
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            assert (rows[0], rows[-1] + 1) == (y, y + height)
            assert (columns[0], columns[-1] + 1) == (x, x + width)
            assert mask.sum() == annotation["area"]


def test_the_reader_of_annotations_drops_nothing(demo: Path, document: Any) -> None:
    part = document["images"][0]["file_name"].split("_")[0]
    annotations = load_coco(demo / f"{part}.json")
    assert sum(annotations.dropped_boxes.values()) == 0
    assert len(annotations) == len(document["images"])


def test_perfect_detections_score_one_and_crowd_members_cost_nothing(demo: Path) -> None:
    coco = COCO(demo / "val.json")
    annotations = coco.loadAnns(coco.getAnnIds())
    results = [
        {**{key: annotation[key] for key in ("image_id", "category_id", "bbox")}, "score": 0.5}
        for annotation in annotations
        if not annotation["iscrowd"]
    ]
    results += [
        {
            "image_id": crowd["image_id"],
            "category_id": crowd["category_id"],
            "bbox": [crowd["bbox"][0] + 10, crowd["bbox"][1] + 10, 10, 10],
            "score": 0.9,
        }
        for crowd in annotations
        if crowd["iscrowd"]
    ]
    evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    assert evaluation.stats[0] == pytest.approx(1.0)


def test_data_of_the_same_arguments_are_kept(tmp_path: Path) -> None:
    make_few(tmp_path / "data")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir()}
    make_few(tmp_path / "data")
    assert before == {path.name: path.stat().st_mtime_ns for path in (tmp_path / "data").iterdir()}


def test_data_that_say_the_same_in_the_way_of_an_earlier_recipe_are_kept(tmp_path: Path) -> None:
    make_few(tmp_path / "data")
    file = tmp_path / "data" / "demo.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"recipe_version": 1}))
    before = contents(tmp_path / "data")
    make_few(tmp_path / "data")
    assert contents(tmp_path / "data") == before
    with pytest.raises(DataError, match=r"recipe_version 1, seed 1, .* but recipe_version 2, seed 2,"):
        make_few(tmp_path / "data", seed=2)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"recipe_version": 3}))
    with pytest.raises(DataError, match="made with recipe_version 3,"):
        make_few(tmp_path / "data")


def test_masks_are_polygons_but_for_rings_and_crowds(document: Any) -> None:
    ring = next(kind["id"] for kind in document["categories"] if kind["name"] == "banded ring")
    for annotation in document["annotations"]:
        has_runs = annotation["iscrowd"] or annotation["category_id"] == ring
        assert isinstance(annotation["segmentation"], dict if has_runs else list)


def test_the_reader_of_masks_drops_nothing(demo: Path, document: Any) -> None:
    part = document["images"][0]["file_name"].split("_")[0]
    annotations = load_coco(demo / f"{part}.json", with_masks=True)
    segmentations = annotations.segmentations
    assert segmentations is not None
    assert annotations.dropped_boxes == {}
    assert (segmentations.has_polygons.sum(), segmentations.has_runs.sum()) >= (20, 3)
    assert (segmentations.covers_something == ~annotations.is_crowd).all()


def test_data_of_other_arguments_are_refused(tmp_path: Path) -> None:
    make_few(tmp_path / "data")
    with pytest.raises(DataError) as failure:
        make_few(tmp_path / "data", seed=2)
    assert str(failure.value) == (
        f"{tmp_path / 'data'}: holds demo data made with "
        "recipe_version 2, seed 1, num_train_images 2, num_val_images 1, but "
        "recipe_version 2, seed 2, num_train_images 2, num_val_images 1 is wanted; "
        "choose another folder or remove this one"
    )


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(
        DataError, match="is not demo data of hrdet; choose another folder or remove this one"
    ):
        make_few(tmp_path)
    assert contents(tmp_path) == {"mine.txt": b"keep me"}


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataError, match="is not demo data"):
        make_few(tmp_path / "data")


def test_demo_data_that_lost_a_file_say_which(tmp_path: Path) -> None:
    make_few(tmp_path / "data")
    (tmp_path / "data" / "images.zip").unlink()
    with pytest.raises(DataError, match=r"without images\.zip; remove the folder to have it made again"):
        make_few(tmp_path / "data")


def test_an_empty_folder_is_filled_and_parents_are_made(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    make_few(tmp_path / "empty")
    make_few(tmp_path / "new" / "deep")
    assert contents(tmp_path / "empty") == contents(tmp_path / "new" / "deep")


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_at_last(path: Path, document: object) -> None:
        if path.name == "demo.json":
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(synthetic, "_write_json", fail_at_last)
    with pytest.raises(DataError, match="No space left on device"):
        make_few(tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_the_module_does_without_torch() -> None:
    program = "import sys, hrdet_cli.engine.data.synthetic; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
