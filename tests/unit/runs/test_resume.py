from pathlib import Path

import pytest

from hrdet_cli.errors import SpecError
from hrdet_cli.runs.resume import check_same_spec
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import format_spec, load_spec


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
        ([], ["optimisation.ema={}"], "optimisation.ema: is None in {file}, but {{'decay': 0.999}} was"),
        (["optimisation.ema={}"], [], "optimisation.ema.decay: is 0.999 in {file}, but None was"),
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
        ([], ["model.roi_head.soft_nms={}"], "model.roi_head.soft_nms: is None in {file}, but {{'decay':"),
    ],
)
def test_a_resumed_run_may_switch_nothing_on_or_off_that_decides_its_weights(
    tmp_path: Path, before: list[str], after: list[str], problem: str
) -> None:
    folder = folder_of(tmp_path, demo(*before))
    with pytest.raises(SpecError) as caught:
        check_same_spec(demo(*after), folder)
    (told,) = caught.value.problems
    assert told.startswith(problem.format(file=folder.spec_file))
    assert told.endswith("a resumed run keeps it, so leave it or start a new run with another --run-dir")


@pytest.mark.parametrize("settings", [[], ["optimisation.ema={}"]])
def test_the_same_spec_may_go_on_longer_and_be_evaluated_otherwise(
    tmp_path: Path, settings: list[str]
) -> None:
    folder = folder_of(tmp_path, demo(*settings))
    check_same_spec(demo(*settings), folder)
    check_same_spec(demo(*settings, "optimisation.num_epochs=40", "evaluation.every_num_epochs=1"), folder)
