"""How long a planned run takes, by what is on record of such steps."""

import json
import platform
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hrdet_cli.cli.display.plan import describe_time
from hrdet_cli.engine.geometry import Size
from hrdet_cli.runs.benchmark_pad.comparison import Origin, PaddingComparison, PolicyCost, Rate, TrainingCost
from hrdet_cli.runs.benchmark_pad.policies import Policy, choose_policies
from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.runs.run_time.estimate import time_at_rate, time_on_record
from hrdet_cli.runs.run_time.known_time import RunTime
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import format_spec, load_spec
from tests.unit.runs.run_page.recorded_run import PLAN, launch, step_line

LARGEST = {"canvas": "320x256", "num_pictures": 2, "seconds": 0.5}
HERE = platform.node()


def spec_of(*settings: str) -> ExperimentSpec:
    return load_spec(preset="demo", settings=settings).spec


def write_run(
    path: Path, seconds: Sequence[float], *settings: str, plan: Plan = PLAN, **of_launch: Any
) -> RunFolder:
    """A run of `spec_of`, launched once before each of its steps was made, whose largest step took 0.5 s."""
    folder = RunFolder(path)
    folder.create(overwrite=False)
    folder.write_spec(format_spec(spec_of(*settings)))
    fingerprints = {"train": plan.train.fingerprint, "val": None}
    of_launch = {"data_fingerprints": fingerprints, "largest_step": LARGEST, **of_launch}
    folder.write_record(RunRecord((launch(plan, **of_launch),)))
    lines = (json.dumps(step_line(step, step_seconds=one)) for step, one in enumerate(seconds, start=1))
    folder.metrics_file.write_text("".join(f"{line}\n" for line in lines))
    return folder


def test_a_run_takes_as_long_a_step_as_another_did_behind_its_first(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [9.0, 0.2, 0.4, 0.6, 0.4, 0.4])
    time = time_on_record(spec_of(), PLAN, tmp_path)
    assert time is not None
    assert time.seconds == pytest.approx(20 * 0.4)
    assert time.basis == f"5 steps of {tmp_path / 'a'} took 0.4 s each on average, on cpu of vm"
    resumed = write_run(tmp_path / "b", [9, 9, 9, 0.1, 0.1, 0.1, 0.1, 0.1], first_step=2, started="2027")
    time = time_on_record(spec_of(), PLAN, tmp_path)
    assert time is not None
    assert time.seconds == pytest.approx(20 * 0.1)
    assert str(resumed.path) in time.basis


def test_too_few_steps_leave_the_largest_which_is_the_most_that_a_step_takes(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [9.0, 0.2, 0.2, 0.2, 0.2])
    time = time_on_record(spec_of(), PLAN, tmp_path)
    assert time == RunTime(
        10.0,
        "the largest step, 320x256 with 2 pictures on each process, took 0.5 s where "
        f"{tmp_path / 'a'} tried it, on cpu of vm, without waits for data",
        is_most=True,
    )
    assert describe_time(time, PLAN, tmp_path).startswith("at most 10 s, evaluation not counted: the largest")
    write_run(tmp_path / "b", [], largest_step=None, started="2027")  # stopped before it was tried
    assert time_on_record(spec_of(), PLAN, tmp_path) == time


@pytest.mark.parametrize(
    "setting",
    [
        "name=other",
        "run.seed=5",
        "optimisation.base_learning_rate=0.3",
        "optimisation.num_epochs=99",
        "evaluation.scale_pixels=[640, 480]",
        "data.root=elsewhere",
        "run.trackers=[tensorboard]",
    ],
)
def test_what_decides_no_time_may_differ(tmp_path: Path, setting: str) -> None:
    write_run(tmp_path / "a", [0.4] * 6)
    assert time_on_record(spec_of(setting), PLAN, tmp_path) is not None


@pytest.mark.parametrize(
    "setting",
    [
        "norm.kind=batch",
        "data.batch_size_per_process=3",
        "data.num_workers=7",
        "padding.canvas_pixels=[640, 512]",
        "augmentation.flip_probability=0.1",
        "optimisation.accumulate_steps=2",
        "optimisation.ema={decay: 0.9}",
        "model.head.rpn.num_train_proposals=100",
        "run.precision=bfloat16",
        "run.compile=step",
    ],
)
def test_steps_of_another_kind_tell_nothing(tmp_path: Path, setting: str) -> None:
    write_run(tmp_path / "a", [0.4] * 6)
    assert time_on_record(spec_of(setting), PLAN, tmp_path) is None


def test_other_data_other_processes_and_what_is_still_to_be_found_tell_nothing(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [0.4] * 6)
    others = replace(PLAN, train=replace(PLAN.train, fingerprint="f9"))
    assert time_on_record(spec_of(), others, tmp_path) is None
    assert time_on_record(spec_of(), replace(PLAN, num_processes=2), tmp_path) is None
    unknown = replace(PLAN, finds_batch_size=True)
    assert time_on_record(spec_of(), unknown, tmp_path) is None
    assert describe_time(None, unknown, tmp_path).startswith("not known before the pictures of a step are")
    assert time_on_record(spec_of(), PLAN, tmp_path / "missing") is None


@pytest.mark.parametrize("damaged", ["run.json", "spec.yaml"])
def test_damaged_records_are_left_out_and_a_damaged_line_costs_only_itself(
    tmp_path: Path, damaged: str
) -> None:
    folder = write_run(tmp_path / "a", [0.4] * 7)
    with folder.metrics_file.open("a") as file:
        file.write('{"kind": "step", "st\n')
    assert time_on_record(spec_of(), PLAN, tmp_path) is not None
    (folder.path / damaged).write_text("{")
    assert time_on_record(spec_of(), PLAN, tmp_path) is None


def test_this_machine_goes_before_a_record_that_tells_more(tmp_path: Path) -> None:
    write_run(tmp_path / "there", [0.1] * 6, host="elsewhere", started="2027")
    write_run(tmp_path / "here", [], host=HERE, started="2026")
    time = time_on_record(spec_of(), PLAN, tmp_path)
    assert time is not None
    assert (time.seconds, time.is_most) == (10.0, True)
    write_run(tmp_path / "here-too", [0.2] * 6, host=HERE, started="2025")
    time = time_on_record(spec_of(), PLAN, tmp_path)
    assert time is not None
    assert time.seconds == pytest.approx(4.0)


def write_comparison(path: Path, spec: ExperimentSpec, *, hours: float, num_processes: int = 1) -> None:
    """Policies of a spec, of which each takes twice as long as the one before."""

    def cost(number: int, policy: Policy) -> PolicyCost:
        training = TrainingCost(Rate(1, 1, 1), 2**30, hours * 2**number, is_data_bound=False)
        return PolicyCost(policy, 0.5, ((Size(256, 320), 1.0),), 1.0, Rate(1, 1, 1), training)

    comparison = PaddingComparison(
        device="cuda:0",
        num_repetitions=1,
        num_pictures=2,
        num_processes=num_processes,
        num_imbalanced=8,
        num_workers=0,
        costs=tuple(cost(*item) for item in enumerate(choose_policies(spec, ["fixed", "canvases"]))),
        origin=Origin("vm", "2026-11-30T01:00:00+00:00", "f1", spec.model_dump(mode="json")),
    )
    path.mkdir()
    (path / "padding.json").write_text(json.dumps(comparison.to_json()))


def test_a_comparison_of_policies_tells_the_time_of_each_of_them(tmp_path: Path) -> None:
    write_comparison(tmp_path / "padding", spec_of(), hours=0.25)
    num_epochs = PLAN.num_steps / PLAN.steps_per_epoch
    time = time_on_record(spec_of(), PLAN, tmp_path)
    assert time == RunTime(
        num_epochs * 900,
        "hrdet benchmark-pad measured 0.25 h an epoch for padding fixed, on cuda:0 of vm "
        f"({tmp_path / 'padding' / 'padding.json'})",
    )
    three = spec_of("padding={policy: canvases, num_canvases: 3}")
    time = time_on_record(three, PLAN, tmp_path)
    assert time is not None
    assert time.seconds == num_epochs * 1800
    assert time_on_record(spec_of("padding.policy=batch"), PLAN, tmp_path) is None
    (tmp_path / "padding" / "padding.json").write_text("[]")
    assert time_on_record(spec_of(), PLAN, tmp_path) is None


def test_canvases_that_a_spec_leaves_open_are_its_own_policy(tmp_path: Path) -> None:
    spec = spec_of("padding={policy: canvases}")
    write_comparison(tmp_path / "padding", spec, hours=0.25, num_processes=2)
    time = time_on_record(spec, replace(PLAN, num_processes=2), tmp_path)
    assert time is not None
    assert time.basis.endswith("padding.json), without the messages between processes")


def test_steps_of_a_run_go_before_a_comparison_and_that_before_a_largest_step(tmp_path: Path) -> None:
    write_run(tmp_path / "a", [])
    write_comparison(tmp_path / "padding", spec_of(), hours=1.0)
    time = time_on_record(spec_of(), PLAN, tmp_path)
    assert time is not None
    assert time.seconds == 4 * 3600
    write_run(tmp_path / "b", [0.3] * 6, started="2020")
    time = time_on_record(spec_of(), PLAN, tmp_path)
    assert time is not None
    assert time.seconds == pytest.approx(6.0)


def test_a_rate_makes_hours_of_the_pictures_of_all_processes() -> None:
    plan = replace(PLAN, num_processes=8, batch_size=64, num_steps=183_300)
    # 183,300 x 64 pictures, 80 a second
    time = time_at_rate(plan, 10)
    assert time.seconds == pytest.approx(146_640)
    assert time.basis == "arithmetic, 183,300 steps of 64 pictures at 10 a second on each of 8 processes"
    assert time_at_rate(PLAN, 4).basis == "arithmetic, 20 steps of 2 pictures at 4 a second"


def test_what_is_not_known_comes_with_what_would_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert describe_time(None, PLAN, Path("runs")) == (
        "not known: no such steps are on record in runs. hrdet benchmark-pad with these options and --out "
        "runs/padding measures them; --rate N counts with N pictures a second of a process"
    )
