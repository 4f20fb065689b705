"""Where results go, and what they say of themselves."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hrdet_cli.runs.origin import MADE_FROM, Origin, results_depend_on
from hrdet_cli.runs.result_folders import evaluation_folder
from hrdet_cli.runs.trained_detector.detector import TrainedDetector
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.layers import Layer, preset_layers, setting_layers
from hrdet_cli.specs.loading import validate_layers


def make_spec(*settings: str, val: Path | None = None) -> ExperimentSpec:
    data = {} if val is None else {"data": {"val": {"annotations": str(val), "images": "images"}}}
    layers = [*preset_layers("demo"), Layer("options", data), *setting_layers(settings)]
    return validate_layers(layers).spec


def make_detector(run: Path, spec: ExperimentSpec, *, is_of_run: bool = True) -> TrainedDetector:
    file = run / "checkpoints" / "best.pt" if is_of_run else run / "theirs.pth"
    return TrainedDetector(
        source=str(run),
        file=file,
        name=file.stem,
        spec=spec,
        class_names=("cat",),
        category_ids=(1,),
        weights={},
        is_of_run=is_of_run,
        saved_spec=make_spec() if is_of_run else None,
        changes={},
    )


def make_origin(trained: TrainedDetector, **changes: object) -> Origin:
    located = trained.spec.data.locate("val")
    return Origin(
        weights=trained.source if trained.file is None else str(trained.file),
        step=None,
        epoch=None,
        annotations=located.annotations,
        images=located.images or Path(),
        fingerprint="f",
        num_pictures=1,
        changes=changes,
        spec=trained.given_spec,
    )


def folder_for(trained: TrainedDetector, **changes: object) -> str:
    """The folder's name, after which the results are in it."""
    origin = make_origin(trained, **changes)
    folder = evaluation_folder(trained, origin)
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "metrics.json").write_text(json.dumps({MADE_FROM: origin.to_json()}))
    return folder.name


def test_results_on_a_runs_own_data_are_in_one_folder_and_all_others_apart(tmp_path: Path) -> None:
    own = make_detector(tmp_path, make_spec())
    on_test = make_detector(tmp_path, make_spec(val=Path("/data/a/test.json")))
    on_other_test = make_detector(tmp_path, make_spec(val=Path("/data/b/test.json")))
    assert folder_for(own) == "eval-best"
    assert folder_for(on_test) == "eval-best-on-test"
    assert folder_for(on_other_test) == "eval-best-on-test-2"
    assert folder_for(own, **{"model.score": 0.5}) == "eval-best-changed"
    assert folder_for(own, **{"model.score": 0.7}) == "eval-best-changed-2"
    assert folder_for(on_test, **{"model.score": 0.5}) == "eval-best-on-test-changed"


def test_the_same_evaluation_again_takes_the_same_folder(tmp_path: Path) -> None:
    own = make_detector(tmp_path, make_spec())
    on_test = make_detector(tmp_path, make_spec(val=Path("/data/a/test.json")))
    first = [folder_for(own), folder_for(on_test), folder_for(own, x=[1, 2])]
    again = [folder_for(own), folder_for(on_test), folder_for(own, x=(1, 2))]
    assert first == again == ["eval-best", "eval-best-on-test", "eval-best-changed"]


def test_naming_a_runs_own_validation_data_is_no_other_evaluation(tmp_path: Path) -> None:
    own = make_spec().data.locate("val")
    values = {"data": {"val": {"annotations": str(own.annotations), "images": str(own.images)}, "root": "."}}
    spec = validate_layers([*preset_layers("demo"), Layer("options", values)]).spec
    assert folder_for(make_detector(tmp_path, spec)) == "eval-best"


def test_weights_that_no_run_left_have_no_data_of_their_own(tmp_path: Path) -> None:
    one = make_detector(tmp_path, make_spec(val=Path("/data/one.json")), is_of_run=False)
    two = make_detector(tmp_path, make_spec(val=Path("/data/two.json")), is_of_run=False)
    assert [folder_for(one), folder_for(two), folder_for(one)] == [
        "eval-theirs",
        "eval-theirs-2",
        "eval-theirs",
    ]
    assert folder_for(replace(one, given_spec="hrnet-w18")) == "eval-theirs-3"


@pytest.mark.parametrize("is_of_run", [True, False])
def test_detectors_that_were_fetched_and_have_one_name_have_results_of_their_own(
    is_of_run: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = replace(
        make_detector(tmp_path, make_spec(), is_of_run=is_of_run), source="hf:me/x", file=None, name="x"
    )
    yours = replace(mine, source="hf:you/x")
    assert [folder_for(mine), folder_for(yours), folder_for(mine)] == ["eval-x", "eval-x-2", "eval-x"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("data.resize_filter", True),
        ("data.tiles", True),
        ("data.tiles.side_pixels", True),
        ("data.tiles.cache_megabytes", False),
        ("data.num_workers", False),
        ("model.head.roi_head.nms_iou", True),
        ("run.precision", True),
        ("run.device", False),
    ],
)
def test_what_is_detected_depends_on_how_pictures_are_cut_and_resized(key: str, expected: bool) -> None:
    assert results_depend_on(key) is expected


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"made_from": []}'])
def test_a_folder_whose_results_do_not_say_what_they_are_of_is_left_alone(
    tmp_path: Path, content: str
) -> None:
    folder = tmp_path / "eval-best-on-test"
    folder.mkdir()
    (folder / "metrics.json").write_text(content)
    assert (
        folder_for(make_detector(tmp_path, make_spec(val=Path("/data/test.json")))) == "eval-best-on-test-2"
    )
