import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from hrdet_cli.engine.training.checkpoint import save_checkpoint
from hrdet_cli.errors import OutputError, SpecError
from hrdet_cli.runs.experiment import load_experiment
from hrdet_cli.runs.resume import (
    as_begun,
    check_same_spec,
    has_other_validation_data,
    keys_since,
    mend_spec,
    record_at,
    saved_weights,
    with_warmup,
)
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import LoadedSpec, format_spec, load_spec, with_settings


def demo(*settings: str) -> ExperimentSpec:
    return load_spec(preset="demo", settings=[*settings]).spec


def folder_of(path: Path, spec: ExperimentSpec) -> RunFolder:
    folder = RunFolder(path / "run")
    folder.create(overwrite=False)
    folder.write_record(RunRecord(({"seed": 1},)))
    folder.spec_file.write_text(format_spec(spec))
    return folder


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ([], ["optimisation.ema={}"], "optimisation.ema: is null in {file}, but {{decay: 0.999}} was"),
        (["optimisation.ema={}"], [], "optimisation.ema.decay: is 0.999 in {file}, but null was"),
        (
            ["optimisation.ema={}"],
            ["optimisation.ema={decay: 0.9}"],
            "optimisation.ema.decay: is 0.999 in {file}, but 0.9 was",
        ),
        (
            [],
            ["optimisation.parameter_groups.norm.weight_decay_factor=0"],
            "optimisation.parameter_groups.norm.weight_decay_factor: is 1.0 in {file}, but 0.0 was",
        ),
        (
            [],
            ["optimisation.optimiser.kind=adamw"],
            "optimisation.optimiser.kind: is 'sgd' in {file}, but 'adamw' was",
        ),
        (
            [],
            ["optimisation.parameter_groups.backbone.stage_decay=0.8"],
            "optimisation.parameter_groups.backbone.stage_decay: is 1.0 in {file}, but 0.8 was",
        ),
        (
            [],
            ["model.head.roi_head.soft_nms={}"],
            "model.head.roi_head.soft_nms: is null in {file}, but {{decay:",
        ),
    ],
)
def test_a_resumed_run_may_switch_nothing_on_or_off_that_decides_its_weights(
    tmp_path: Path, before: list[str], after: list[str], problem: str
) -> None:
    folder = folder_of(tmp_path, demo(*before))
    with pytest.raises(SpecError) as caught:
        check_same_spec(demo(*after), folder.read_spec(), file=folder.spec_file)
    (told,) = caught.value.problems
    assert told.startswith(problem.format(file=folder.spec_file))
    assert told.endswith("a resumed run keeps it, so leave it or start a new run with another --run-dir")


@pytest.mark.parametrize("settings", [[], ["optimisation.ema={}"]])
def test_the_same_spec_may_go_on_longer_and_be_evaluated_otherwise(
    tmp_path: Path, settings: list[str]
) -> None:
    folder = folder_of(tmp_path, demo(*settings))
    check_same_spec(demo(*settings), folder.read_spec(), file=folder.spec_file)
    check_same_spec(
        demo(*settings, "optimisation.num_epochs=40", "evaluation.every_num_epochs=1"),
        folder.read_spec(),
        file=folder.spec_file,
    )


def starting_from(weights: str) -> LoadedSpec:
    return load_experiment(preset="demo", spec_file=None, settings=(), weights=weights)


@pytest.mark.parametrize(
    ("given", "then", "later"),
    [
        ("source", ["last.pt"], ["best.pt", "last.pt"]),  # evaluated for the first time meanwhile
        ("source", ["best.pt", "last.pt"], None),
        ("source", ["best.pt", "last.pt"], []),  # to make room
        ("source/", ["best.pt"], ["last.pt"]),
        ("source 😀/checkpoints/last.pt", ["last.pt"], None),
    ],
)
def test_the_same_words_for_the_initial_weights_go_on_whatever_became_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, then: list[str], later: list[str] | None
) -> None:
    monkeypatch.chdir(tmp_path)
    checkpoints = tmp_path / given.split("/")[0] / "checkpoints"

    def have(names: list[str]) -> None:
        checkpoints.mkdir(parents=True)
        for name in names:
            (checkpoints / name).touch()

    have(then)
    folder = folder_of(tmp_path, starting_from(given).spec)
    shutil.rmtree(checkpoints.parent)
    if later is not None:
        have(later)
    loaded = starting_from(given)
    with pytest.raises(SpecError):  # the file that the words mean now is another one
        check_same_spec(loaded.spec, folder.read_spec(), file=folder.spec_file)
    resumed = with_settings(loaded.spec, saved_weights(loaded, folder))
    check_same_spec(resumed, folder.read_spec(), file=folder.spec_file)


def test_other_initial_weights_are_not_taken_for_those_of_the_run(tmp_path: Path) -> None:
    checkpoints = tmp_path / "source" / "checkpoints"
    checkpoints.mkdir(parents=True)
    for name in ("best.pt", "last.pt"):
        (checkpoints / name).touch()
    folder = folder_of(tmp_path, starting_from(str(checkpoints.parent)).spec)
    for other in (str(checkpoints / "last.pt"), str(tmp_path / "other"), "imagenet:hrnetv2_w18"):
        assert saved_weights(starting_from(other), folder) == ()


def test_a_cosine_that_has_begun_keeps_its_length(tmp_path: Path) -> None:
    cosine = "optimisation.schedule.kind=cosine"
    folder = folder_of(tmp_path, demo(cosine))
    check_same_spec(demo(cosine), folder.read_spec(), file=folder.spec_file)
    with pytest.raises(SpecError) as caught:
        check_same_spec(demo(cosine, "optimisation.num_epochs=40"), folder.read_spec(), file=folder.spec_file)
    assert caught.value.problems == [
        f"optimisation.num_epochs: is 8 in {folder.spec_file}, but 40 was asked for; with "
        "optimisation.schedule.kind=cosine it decides the rate of every step; a resumed run keeps it, so "
        "leave it or start a new run with another --run-dir"
    ]


def test_a_spec_by_the_older_names_of_keys_is_the_same_and_lacks_what_is_new(tmp_path: Path) -> None:
    spec, folder = demo(), folder_of(tmp_path, demo())
    values = yaml.safe_load(format_spec(spec))
    head, neck = values["model"].pop("head"), values["model"].pop("neck")
    assert head.pop("kind") == "faster_rcnn"
    assert head.pop("mask") is None
    nameless = {"model.head.mask", *(f"model.neck.{key}" for key in neck)}  # there were none by any name
    nameless -= {f"model.neck.{key}" for key in ("channels", "interpolation", "pooling")}
    values["optimisation"] |= {
        key: values["optimisation"][section][key]
        for section, key in [
            ("schedule", "drop_epochs"),
            ("schedule", "drop_factor"),
            ("optimiser", "momentum"),
        ]
    }
    del values["optimisation"]["schedule"], values["optimisation"]["optimiser"]
    values["model"] |= {**head, "neck_channels": neck["channels"]}
    values["model"]["backbone"] |= {
        "neck_interpolation": neck["interpolation"],
        "neck_pooling": neck["pooling"],
    }
    older = yaml.safe_dump(values)
    folder.spec_file.write_text(older)
    check_same_spec(spec, older, file=folder.spec_file)
    assert set(keys_since(older, spec)) == nameless
    assert mend_spec(folder) is None
    with pytest.raises(SpecError, match=r"model\.head\.rpn\.anchor_scale: is 6\.0 in .* but 5\.0 was asked"):
        check_same_spec(demo("model.rpn.anchor_scale=5"), older, file=folder.spec_file)


def save_copy(folder: RunFolder, spec: ExperimentSpec) -> None:
    save_checkpoint(folder.last_checkpoint, {"spec": format_spec(spec)})


@pytest.mark.parametrize("damage", [None, "", "{", "- 1", "name: demo\n", "\x00"])
def test_a_spec_that_is_missing_or_damaged_is_written_again_from_the_checkpoint(
    tmp_path: Path, damage: str | None
) -> None:
    spec = demo("optimisation.num_epochs=9")
    folder = folder_of(tmp_path, spec)
    save_copy(folder, spec)
    whole = folder.spec_file.read_text()
    if damage is None:
        folder.spec_file.unlink()
    else:
        folder.spec_file.write_text(damage)
    told = mend_spec(folder)
    assert told is not None
    assert told.startswith(f"{folder.spec_file}: was missing or damaged, and was written again from ")
    assert folder.spec_file.read_text() == whole
    assert mend_spec(folder) is None


def test_a_spec_that_was_cut_off_is_written_again(tmp_path: Path) -> None:
    spec = demo()
    folder = folder_of(tmp_path, spec)
    save_copy(folder, spec)
    whole = folder.spec_file.read_text()
    lines = whole.splitlines(keepends=True)
    for num_lines in (1, len(lines) // 2, len(lines) - 1):
        folder.spec_file.write_text("".join(lines[:num_lines]))
        assert mend_spec(folder) is not None
        assert folder.spec_file.read_text() == whole


def test_a_whole_spec_is_left_alone_whatever_the_checkpoint_says(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, demo("optimisation.num_epochs=9"))
    save_copy(folder, demo())
    assert mend_spec(folder) is None
    assert "num_epochs: 9" in folder.spec_file.read_text()


def test_a_spec_of_an_older_version_is_left_alone(tmp_path: Path) -> None:
    older = "".join(
        line
        for line in format_spec(demo()).splitlines(keepends=True)
        if "num_epoch_checkpoints" not in line and "checkpoint_every_minutes" not in line
    )
    folder = folder_of(tmp_path, demo())
    folder.spec_file.write_text(older)
    save_checkpoint(folder.last_checkpoint, {"spec": older})
    assert mend_spec(folder) is None
    assert folder.spec_file.read_text() == older


def test_without_a_checkpoint_a_damaged_spec_stays(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, demo())
    folder.spec_file.write_text("{")
    folder.last_checkpoint.write_bytes(b"no checkpoint")
    assert mend_spec(folder) is None
    assert folder.spec_file.read_text() == "{"


def test_a_folder_without_a_run_cannot_be_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"is not a run folder .* check the path"):
        mend_spec(RunFolder(tmp_path))


def test_a_run_begun_without_a_key_goes_on_with_its_default_and_all_else_as_asked_for() -> None:
    spec = load_spec(preset="hrnet-w18", settings=["data.val=null", "data.num_workers=1"]).spec
    saved = format_spec(spec).replace("  max_warmup_share: 0.1\n", "")
    assert keys_since(saved, spec) == ("optimisation.max_warmup_share",)
    with_data = {"annotations": "v.json", "images": "v"}
    wanted = load_spec(preset="hrnet-w18", settings=["data.num_workers=3", f"data.val={with_data}"]).spec
    assert wanted.optimisation.max_warmup_share == 0.1
    assert keys_since(saved, wanted) == ("optimisation.max_warmup_share",), "data.val was null, not unknown"
    begun = as_begun(wanted, keys_since(saved, wanted))
    assert begun.optimisation.max_warmup_share is None
    assert begun.optimisation.warmup_steps_of(624) == 500
    assert (begun.data.num_workers, begun.data.val) == (3, wanted.data.val)


def test_a_text_that_is_no_spec_knows_no_keys() -> None:
    assert keys_since("", demo()) == ()
    assert keys_since(format_spec(demo()), demo()) == ()


def test_a_checkpoint_that_does_not_say_how_long_the_warm_up_was_has_that_of_the_record_it_carries() -> None:
    had, longer = (RunRecord(({"plan": {"warmup_steps": steps}},)) for steps in (62, 124))
    assert with_warmup({"step": 9}, had) == {"step": 9, "num_warmup_steps": 62}
    assert with_warmup({"num_warmup_steps": 31}, had) == {"num_warmup_steps": 31}
    assert with_warmup({"step": 9}, RunRecord()) == {"step": 9}
    assert record_at({"record": had.text()}, longer) == had
    assert record_at({}, longer) == longer


@pytest.mark.parametrize(
    ("had", "has", "is_other"), [("aB", "b", True), ("a", "a", False), ("", "b", False), ("a", None, False)]
)
def test_validation_data_are_compared_with_those_that_were_used_last(
    had: str, has: str | None, is_other: bool
) -> None:
    launches = [{"data_fingerprints": {"val": fingerprint}} for fingerprint in (*had, None)]
    plan: Any = SimpleNamespace(val=has and SimpleNamespace(fingerprint=has))
    assert has_other_validation_data(plan, RunRecord(tuple(launches))) is is_other
