"""The check itself, as far as it runs without a GPU: small steps on a CPU, and everything that is written."""

import sys
import time
import warnings
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from hrdet_cli.cli.app import app
from hrdet_cli.engine.geometry import Size
from tests.benchmarks import compiled_step
from tests.gpu_check import __main__ as check
from tests.gpu_check import feeding, steps
from tests.gpu_check.detectors import PLAIN_NORM, Scene, Step, hrdet_step, torchvision_step
from tests.gpu_check.report import Outcome, Part, run_part, write_report
from tests.gpu_check.time_left import TimeLeft

CPU = torch.device("cpu")
SCENE = Scene(preset="demo", canvas=Size(64, 96), precision="float32", device=CPU)


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "NUM_WARM_UP", 1)
    monkeypatch.setattr(feeding, "NUM_WARM_UP", 1)


def test_steps_of_both_detectors_are_measured_in_turn_and_compared() -> None:
    builders = {
        "hrdet": partial(hrdet_step, SCENE, 1),
        "plain": partial(hrdet_step, SCENE, 1, PLAIN_NORM),
        steps.RIVAL: partial(torchvision_step, SCENE, 1),
    }
    found = steps.measure_in_turn(builders, CPU, num_steps=2)
    rows = steps.rows_of("float32, 1 picture", found)
    assert [row[0] for row in rows] == [f"float32, 1 picture, {name}" for name in builders]
    for row in rows:
        assert all(float(figure) > 0 for figure in row[1:])
    assert rows[-1][2] == rows[-1][4] == "1.00"


def out_of_memory() -> Step:
    raise torch.OutOfMemoryError("CUDA out of memory")


def broken_step() -> object:
    raise ValueError("no such kernel")


def test_a_detector_that_does_not_fit_or_fails_costs_only_its_own_row() -> None:
    builders = {
        "large": out_of_memory,
        "broken": lambda: broken_step,
        steps.RIVAL: lambda: lambda: None,
    }
    rows = steps.rows_of("x", steps.measure_in_turn(builders, CPU, num_steps=2))
    assert rows[0][1:] == ["does not fit", "", "", ""]
    assert rows[1][1] == "ValueError: no such kernel"
    assert float(rows[2][1]) >= 0


def waiting_step() -> None:
    for _ in range(3):
        warnings.warn("called a synchronizing CUDA operation", UserWarning, stacklevel=1)
    warnings.warn("something else", UserWarning, stacklevel=1)


def test_waits_are_counted_by_the_line_that_waits() -> None:
    waits = steps.host_waits(waiting_step, nullcontext)
    line = waiting_step.__code__.co_firstlineno + 2
    assert waits == {f"tests/gpu_check/test_gpu_check.py:{line}": 3}


def test_a_step_on_a_cpu_computes_as_its_scene_says() -> None:
    scene = Scene(preset="demo", canvas=Size(64, 96), precision="bfloat16", device=CPU)
    assert scene.spec().run.precision == "bfloat16"
    assert scene.batch(2).images.pixels.device == CPU
    assert len(scene.batch(2)) == 2


SMALL = ["--device", "cpu", "--preset", "demo"]


def test_the_table_of_steps_is_printed_and_what_no_time_was_left_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--canvas", "64", "96", "--pictures", "1", "2", "--precisions", "float32", "--steps", "1"]
    monkeypatch.setattr(sys, "argv", ["steps", *SMALL, *options, "--seconds", "0"])
    steps.main()
    output = capsys.readouterr().out
    assert "float32, 1 pictures, torchvision" in output
    assert output.endswith("No time was left for float32 with 2 pictures.\n")


def test_what_a_measurement_will_take_is_told_by_the_last_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    time_left = TimeLeft(50)
    assert time_left.suffices_for("bfloat16", 16)
    time_left.note("bfloat16", 4, seconds=22, in_steps=2)  # 20 s beside steps
    assert time_left.suffices_for("bfloat16", 60)
    assert not time_left.suffices_for("bfloat16", 61)
    assert time_left.suffices_for("float32", 15)
    assert not time_left.suffices_for("float32", 16)


def test_the_table_of_the_data_path_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--pictures", "2", "--steps", "2", "--workers", "0", "--size", "60", "80"]
    monkeypatch.setattr(sys, "argv", ["feeding", *SMALL, *options])
    feeding.main()
    assert "pictures a second" in capsys.readouterr().out


def test_the_table_of_compiled_steps_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = check.compiled_steps(sys.executable, seconds=60).command
    assert command[2] == compiled_step.__name__
    instead = ["--canvas", "64", "96", "--pictures", "1", "--steps", "1", "--parts", "off"]
    monkeypatch.setattr(sys, "argv", [*command[2:], *SMALL, *instead])
    compiled_step.main()
    row = capsys.readouterr().out.splitlines()[-1].split()
    assert (row[0], row[3], row[5]) == ("off", "1.000", "1.000")


def part_of(program: str, *, seconds: float = 60) -> Part:
    return Part(title="A part", command=[sys.executable, "-c", program], seconds=seconds)


def test_what_a_part_says_is_kept_and_how_it_ended() -> None:
    assert run_part(part_of("print('all is well')")).failure == ""
    failed = run_part(part_of("import sys; print('half'); sys.exit('and why')"))
    assert (failed.failure, failed.output.split()) == ("exit code 1", ["half", "and", "why"])
    slow = run_part(part_of("import time; print('begun', flush=True); time.sleep(60)", seconds=3))
    assert slow.failure == "ended after 3 s"
    assert "begun" in slow.output
    missing = run_part(Part(title="A part", command=["/no/such/program"], seconds=1))
    assert missing.failure == "could not be started"


def test_the_report_has_a_section_for_each_part(tmp_path: Path) -> None:
    report = tmp_path / "new" / "report.md"
    part = part_of("print()")
    outcomes = [
        Outcome(part=part, output="a table\n", seconds=1.2, failure=""),
        Outcome(part=part, output="a trace", seconds=3, failure="exit code 1"),
    ]
    write_report(report, "a GPU", outcomes)
    text = report.read_text()
    assert text.startswith("# GPU check\n\na GPU\n\n## A part\n\ndone, 1 s: `")
    assert "```\na table\n```\n\n## A part\n\nexit code 1, 3 s: `" in text


def test_all_parts_exist_and_take_less_than_eight_minutes_with_time_to_compile(tmp_path: Path) -> None:
    parts = check.parts(sys.executable, tmp_path)
    assert sum(part.seconds for part in parts) + 100 < check.MOST_SECONDS < 8 * 60
    tests, _, _, padding = (list(part.command) for part in parts)
    assert Path(tests[-1]).is_dir()
    assert CliRunner().invoke(app, [*padding[3:], "--help"]).exit_code == 0
    assert CliRunner().invoke(app, [*padding[3:], "--no-such", "--help"]).exit_code != 0


def test_without_a_gpu_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu_check", "--out", str(tmp_path / "report.md")])
    assert check.main() == 2
    assert not list(tmp_path.iterdir())
