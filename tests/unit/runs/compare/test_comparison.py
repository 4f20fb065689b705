"""Detectors compared by what was saved of them."""

import json
from pathlib import Path

import pytest

from hrdet_cli.errors import DataError, HrdetError, OutputError, SpecError
from hrdet_cli.runs.compare.comparison import compare_detectors
from hrdet_cli.runs.compare.report import DetectorComparison
from hrdet_cli.specs.data import DatasetSpec
from tests.compared_results import NUM_PICTURES, detections, share, write_data, write_results
from tests.generators import result_of


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


def compared(*sides: list[Path], annotations: DatasetSpec | None = None) -> DetectorComparison:
    words = [[str(source) for source in side] for side in sides]
    comparison = result_of(compare_detectors(words, annotations=annotations, num_resamples=200))
    assert isinstance(comparison, DetectorComparison)
    return comparison


def test_a_detector_that_finds_less_is_worse_and_its_copy_the_same(data: Path, tmp_path: Path) -> None:
    good, bad = detections(data, share(1)), detections(data, share(0.5))
    folders = [
        write_results(tmp_path / name, data, found) for name, found in (("a", good), ("b", bad), ("c", good))
    ]
    comparison = compared(*([folder] for folder in folders))
    worse, same = comparison.differences
    ap = worse.tasks["box"].numbers["AP"]
    assert ap is not None
    assert ap.verdict == "worse"
    assert ap.low <= ap.value <= ap.high < 0
    scores = [json.loads((folder / "metrics.json").read_text())["box"]["AP"] for folder in folders]
    assert ap.value == pytest.approx(scores[1] - scores[0], abs=1e-12)
    assert worse.tasks["box"].classes["never there"]["AP"] is None
    assert {one.verdict for one in same.tasks["box"].numbers.values() if one is not None} == {"the same"}
    assert same.pictures == []


def test_the_pictures_that_differ_most_come_first(data: Path, tmp_path: Path) -> None:
    first = write_results(tmp_path / "a", data, detections(data, lambda number, _: number != 4))
    second = write_results(
        tmp_path / "b", data, detections(data, lambda number, kind: (number, kind) != (6, 3))
    )
    (of_side,) = compared([first], [second]).differences
    differing = [(one.file_name, one.num_missed, one.num_false) for one in of_side.pictures]
    assert differing == [("4.png", (2, 0), (0, 0)), ("6.png", (0, 1), (0, 0))]


def test_all_of_it_is_json(data: Path, tmp_path: Path) -> None:
    folders = [write_results(tmp_path / name, data, detections(data, share(1))) for name in "ab"]
    document = json.loads(json.dumps(compared(*([folder] for folder in folders)).to_json(), allow_nan=False))
    assert document["data"]["num_pictures"] == NUM_PICTURES
    assert document["sides"][1]["runs"][0]["epoch"] == 2
    assert document["differences"][0]["box"]["numbers"]["AP"] == {
        "difference": 0.0,
        "low": 0.0,
        "high": 0.0,
        "num_pictures": NUM_PICTURES,
        "verdict": "the same",
    }
    assert document["specs"] is None
    assert document["notes"] == [
        f"{folder}: specs are not compared, for nobody knows which run this is of" for folder in folders
    ]


def test_groups_are_compared_with_the_spread_of_their_runs(data: Path, tmp_path: Path) -> None:
    folders = [
        write_results(tmp_path / str(number), data, detections(data, share(number / NUM_PICTURES)))
        for number in (4, 6, 8, 10)
    ]
    (of_groups,) = compared(folders[:2], folders[2:]).differences
    (of_runs,) = compared([folders[0]], [folders[2]]).differences
    grouped, single = (one.tasks["box"].numbers["AP"] for one in (of_groups, of_runs))
    assert of_groups.counts_trainings
    assert grouped is not None
    assert single is not None
    assert grouped.value == pytest.approx(single.value, abs=0.02)
    assert (single.verdict, grouped.verdict) == ("better", "not distinguishable")


def test_lists_of_detections_need_their_annotations(data: Path, tmp_path: Path) -> None:
    files = []
    for name in "ab":
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(json.dumps(detections(data, share(1))))
    with pytest.raises(SpecError, match=r"a\.json: detections alone do not say .* --val-data SOURCE IMAGES"):
        compared(*([file] for file in files))
    named = DatasetSpec(annotations=data, images=data.parent / "images")
    (of_side,) = compared(*([file] for file in files), annotations=named).differences
    assert of_side.tasks["box"].numbers["AP"] is not None


def refusal(error: type[HrdetError], *sides: Path) -> str:
    with pytest.raises(error) as caught:
        compared(*([side] for side in sides))
    return str(caught.value)


def test_other_annotations_and_other_classes_are_refused(data: Path, tmp_path: Path) -> None:
    found = detections(data, share(1))
    first = write_results(tmp_path / "a", data, found)
    other = write_results(
        tmp_path / "b", data, found, made_from={"annotations_sha256": "0", "annotations": "x"}
    )
    told = refusal(DataError, first, other)
    assert f"{first} was evaluated on {data}, {other} on x, which are not the same annotations" in told
    document = json.loads((other / "metrics.json").read_text())
    document["made_from"] = json.loads((first / "metrics.json").read_text())["made_from"]
    del document["classes"]["dog"]
    (other / "metrics.json").write_text(json.dumps(document))
    assert "on 3 classes, " in (told := refusal(DataError, first, other))
    assert "they differ in 'dog'" in told


def test_annotations_that_were_changed_or_moved_are_told(data: Path, tmp_path: Path) -> None:
    folders = [write_results(tmp_path / name, data, detections(data, share(1))) for name in "ab"]
    data.write_text(data.read_text() + " ")
    assert f"{data}: was changed since {folders[0]} was evaluated on it" in refusal(DataError, *folders)
    data.rename(tmp_path / "elsewhere.json")
    assert f"{data}: does not exist; {folders[0]} was evaluated on it" in refusal(DataError, *folders)


def test_detections_of_another_evaluation_are_told_from_those_that_were_scored(
    data: Path, tmp_path: Path
) -> None:
    folders = [write_results(tmp_path / name, data, detections(data, share(1))) for name in "ab"]
    (folders[1] / "detections.json").write_text(json.dumps(detections(data, share(0.5))))
    told = refusal(DataError, *folders)
    assert told.startswith(f"{folders[1]}/detections.json: gives ")
    assert "they are not of one evaluation" in told


def test_a_picture_that_one_could_not_read_counts_for_none(data: Path, tmp_path: Path) -> None:
    folders = [write_results(tmp_path / name, data, detections(data, share(1))) for name in "ab"]
    document = json.loads((folders[1] / "metrics.json").read_text())
    document["broken_pictures"] = {"0.png": "is cut off"}
    (folders[1] / "metrics.json").write_text(json.dumps(document))
    found = [one for one in detections(data, share(1)) if one["image_id"] != 100]
    (folders[1] / "detections.json").write_text(json.dumps(found))
    document["box"], document["classes"] = {"AP": 1.0}, document["classes"]
    (folders[1] / "metrics.json").write_text(json.dumps(document))
    comparison = compared(*([folder] for folder in folders))
    assert comparison.data.num_pictures == NUM_PICTURES - 1
    assert "1 picture that an evaluation could not read is left out for all" in comparison.notices
    ap = comparison.differences[0].tasks["box"].numbers["AP"]
    assert ap is not None
    assert ap.verdict == "the same", "the false dog is in the picture that is left out"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{}", "is no list of detections in COCO's results format: Expected `array`, got `object`"),
        ('[{"image_id": 1}]', "missing required field `category_id`"),
        ('[{"image_id": 4, "category_id": 7, "bbox": [0, 0, 1, 1], "score": 1}]', "1 picture that"),
    ],
)
def test_what_is_no_list_of_detections_is_told(data: Path, tmp_path: Path, content: str, told: str) -> None:
    folders = [write_results(tmp_path / name, data, detections(data, share(1))) for name in "ab"]
    (folders[0] / "detections.json").write_text(content)
    assert told in refusal(DataError, *folders)


def test_missing_and_damaged_results_are_told(data: Path, tmp_path: Path) -> None:
    good = write_results(tmp_path / "a", data, detections(data, share(1)))
    assert "does not exist; give run folders" in refusal(OutputError, good, tmp_path / "b")
    assert "is neither a run folder nor a folder with metrics.json" in refusal(OutputError, good, data.parent)
    other = write_results(tmp_path / "c", data, [])
    (other / "metrics.json").write_text("{}")
    assert "is not as hrdet eval writes it: Object missing required field" in refusal(
        OutputError, good, other
    )
    (other / "detections.json").unlink()
    assert f"{other}: has metrics.json and no detections.json" in refusal(OutputError, good, other)
