"""What a run says about the two kinds of weights that it evaluates."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from hrdet_cli.cli.display.training import TrainingDisplay
from hrdet_cli.runs.events import Evaluated, EvaluatedWeights, Event, RunFinished
from hrdet_cli.specs.run import RunSpec

BOX = {"AP": 0.3125, "AP50": 0.5, "AP75": None}


def shown(*events: Event) -> list[str]:
    text = StringIO()
    with TrainingDisplay(Console(file=text, width=200), RunSpec()) as display:
        for event in events:
            display.show(event)
    return text.getvalue().rstrip("\n").splitlines()  # some versions of rich end with an empty line


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
    assert shown(Evaluated(3, weights, BOX, is_best)) == [line]


@pytest.mark.parametrize(
    ("best_ema", "told"), [(None, "best box AP 0.250;"), (0.5, "best box AP 0.250, of the average 0.500;")]
)
def test_the_end_of_a_run_tells_both_best_aps(best_ema: float | None, told: str) -> None:
    (line,) = shown(RunFinished(Path("runs/a"), 0.25, best_ema, 90))
    assert line == f"finished in 1.5 min, {told} everything is in runs/a"
