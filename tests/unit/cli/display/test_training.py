"""What a run says about the two kinds of weights that it evaluates."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from hrdet_cli.cli.display.console import print_line
from hrdet_cli.cli.display.pace import Pace
from hrdet_cli.cli.display.training import TrainingDisplay, command_to_resume, in_lines
from hrdet_cli.engine.training.reports import StepReport
from hrdet_cli.runs.events import (
    Evaluated,
    EvaluatedWeights,
    EvaluationProgress,
    Event,
    RunFinished,
    RunStarted,
)
from hrdet_cli.specs.run import RunSpec
from hrdet_cli.wording import format_duration
from tests.unit.runs.run_page.recorded_run import PLAN

BOX = {"AP": 0.3125, "AP50": 0.5, "AP75": None}
MASK = {"AP": 0.25, "AP50": 0.375, "AP75": 0.125}


def shown(*events: Event) -> list[str]:
    text = StringIO()
    with TrainingDisplay(Console(file=text, width=200), RunSpec()) as display:
        for event in events:
            display.show(event)
    return text.getvalue().rstrip("\n").splitlines()  # some versions of rich end with an empty line


def test_a_name_and_its_number_stay_on_one_line() -> None:
    items = ["loss 1.000", "roi_class 0.500", "roi_box 0.250"]
    assert in_lines(items, 80) == "loss 1.000  roi_class 0.500  roi_box 0.250"
    assert in_lines(items, 28) == "loss 1.000  roi_class 0.500\nroi_box 0.250"
    assert in_lines(items, 5) == "loss 1.000\nroi_class 0.500\nroi_box 0.250"


@pytest.mark.parametrize(
    ("weights", "is_best", "line"),
    [
        ("raw", True, "epoch 3  evaluated: AP 0.312  AP50 0.500  AP75 -  (best so far)"),
        ("raw", False, "epoch 3  evaluated: AP 0.312  AP50 0.500  AP75 -"),
        ("ema", False, "epoch 3  evaluated the average: AP 0.312  AP50 0.500  AP75 -"),
    ],
)
def test_an_evaluation_says_whose_weights_it_is_of(
    weights: EvaluatedWeights, is_best: bool, line: str
) -> None:
    assert shown(Evaluated(3, weights, {"box": BOX}, is_best)) == [line]


@pytest.mark.parametrize(
    ("best_ema", "told"), [(None, "best box AP 0.250;"), (0.5, "best box AP 0.250, of the average 0.500;")]
)
def test_the_end_of_a_run_tells_both_best_aps(best_ema: float | None, told: str) -> None:
    of_average: dict[EvaluatedWeights, float] = {} if best_ema is None else {"ema": best_ema}
    (line,) = shown(RunFinished(Path("runs/a"), "box", {"raw": 0.25, **of_average}, 90))
    assert line == f"finished in 2 min, {told} everything is in runs/a"


def test_an_evaluation_of_masks_names_the_numbers_of_both() -> None:
    (line,) = shown(Evaluated(3, "raw", {"box": BOX, "mask": MASK}, is_best=False))
    assert line == (
        "epoch 3  evaluated: box AP 0.312  AP50 0.500  AP75 -; mask AP 0.250  AP50 0.375  AP75 0.125"
    )


def test_an_evaluation_tells_the_validation_loss_where_it_was_computed() -> None:
    (line,) = shown(Evaluated(3, "raw", {"box": BOX}, is_best=True, loss=1.23456))
    assert line == "epoch 3  evaluated: AP 0.312  AP50 0.500  AP75 -  loss 1.235  (best so far)"
    (line,) = shown(RunFinished(Path("runs/a"), "loss", {"raw": 1.23456}, 90))
    assert "best validation loss 1.235;" in line


def test_an_evaluation_of_proposals_tells_their_recall() -> None:
    proposals = {**BOX, "AR300": 0.125, "AR1000": 0.75}
    (line,) = shown(Evaluated(3, "raw", {"box": proposals}, is_best=False))
    assert line == "epoch 3  evaluated: AP 0.312  AP50 0.500  AP75 -  AR1000 0.750"


def test_the_end_of_a_run_names_what_the_best_was_chosen_by() -> None:
    (line,) = shown(RunFinished(Path("runs/a"), "mask", {"raw": 0.5}, 90))
    assert "best mask AP 0.500;" in line
    (line,) = shown(RunFinished(Path("runs/a"), "recall", {"raw": 0.5}, 90))
    assert "best AR1000 0.500;" in line
    (line,) = shown(RunFinished(Path("runs/a"), "mask", {}, 90))
    assert "nothing was evaluated;" in line


def test_the_end_of_a_run_tells_evaluations_that_had_no_number_to_choose_by() -> None:
    *_, line = shown(
        Evaluated(3, "raw", {"box": {"AP": None}}, is_best=False),
        RunFinished(Path("runs/a"), "box", {}, 90),
    )
    assert "no evaluation had any box AP;" in line
    (line,) = shown(RunFinished(Path("runs/a"), "loss", {"ema": 0.5}, 90))
    assert "best validation loss -, of the average 0.500;" in line


def make_step(step: int, *, seconds: float, data_seconds: float = 0.0) -> StepReport:
    return StepReport(
        epoch=1,
        step=step,
        learning_rate=0.01,
        loss=0.75,
        losses={"rpn_box": 0.5, "roi_box": 0.25},
        gradient_norm=1.0,
        num_images=4,
        data_seconds=data_seconds,
        step_seconds=seconds,
        peak_memory_bytes=3 * 2**30,
        broken_pictures=(),
        lacks_next_batch=False,
        stop_asked=False,
    )


def test_where_there_is_no_terminal_the_first_and_the_last_step_have_a_line_and_every_tenth() -> None:
    started = RunStarted(PLAN, Path("runs/a"), "cpu", "float32", 1000, "sync", "random", (), 3, 23, None)
    lines = shown(
        started,
        *(make_step(step, seconds=1.0) for step in range(4, 24)),
    )
    assert [line.split("  ")[1] for line in lines if "  step " in line] == [
        f"step {step}/23" for step in (4, 10, 20, 23)
    ]


def test_an_evaluation_says_that_it_begins_where_there_is_no_bar() -> None:
    lines = shown(*(EvaluationProgress(done, 1000, stop_asked=False) for done in (1, 500, 1000)))
    assert lines == ["evaluating 1,000 pictures ..."]


def test_the_pace_is_that_of_the_last_steps_and_not_of_one() -> None:
    pace = Pace(2)
    for step, seconds in ((1, 100.0), (2, 1.0), (3, 3.0)):
        pace.add(make_step(step, seconds=seconds, data_seconds=seconds / 4))
    assert pace.images_per_second == 8 / 4
    assert pace.step_seconds == 2
    assert pace.data_wait == 0.25


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (3600, "60 min"), (7500, "2 h 05 min"), (273600, "3 d 4 h")],
)
def test_durations_are_said_in_two_units_at_most(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_on_a_terminal_prose_is_broken_between_words_and_a_command_is_left_whole() -> None:
    file = StringIO()
    console = Console(file=file, width=40, force_terminal=True, color_system=None)
    prose = "stopped after step 128 of the run that was begun yesterday; go on with"
    again = "hrdet train --resume --run-dir '/a folder/with a very long name/and another'"
    print_line(console, Text(f"{prose}: {again}"))
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert lines == [
        "stopped after step 128 of the run that",
        "was begun yesterday; go on with:",
        again,
    ]


@pytest.mark.parametrize(
    ("given", "again"),
    [
        (
            "train --preset demo --overwrite --nodes 2",
            "train --preset demo --nodes 2 --run-dir runs/a --resume",
        ),
        (
            "train --spec s.yaml --run-dir=runs/a --auto-resume",
            "train --spec s.yaml --run-dir=runs/a --resume",
        ),
        ("train --resume --run-dir runs/a --nodes 2", "train --run-dir runs/a --nodes 2 --resume"),
    ],
)
def test_many_processes_go_on_with_their_own_command(given: str, again: str) -> None:
    assert command_to_resume(given.split(), Path("runs/a")) == f"hrdet {again}"
