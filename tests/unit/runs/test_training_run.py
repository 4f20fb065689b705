"""Which evaluation was the best, and when a run has waited long enough for a better one."""

from typing import Any, cast

import pytest

from hrdet_cli.engine.evaluation.comparison import Task
from hrdet_cli.runs.metrics_file import MetricsFile
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.runs.training_run import TrainingRun
from hrdet_cli.specs.loading import load_spec


class Unfinished:
    """All that is asked of a trainer here."""

    is_finished = False


def run_with(*settings: str) -> TrainingRun:
    nothing = cast("Any", None)
    return TrainingRun(
        load_spec(preset="demo", settings=[*settings]).spec,
        plan=nothing,
        folder=nothing,
        trainer=cast("Any", Unfinished()),
        detector=nothing,
        device=nothing,
        data=nothing,
        loader=nothing,
        stop_asked=lambda: False,
        record=RunRecord(),
        metrics=cast("MetricsFile", None),
    )


def numbers(ap: float | None) -> dict[Task, dict[str, float | None]]:
    return {"box": {"AP": ap}}


def test_the_best_is_the_highest_of_precisions_and_the_lowest_of_losses() -> None:
    by_ap, by_loss = run_with(), run_with("evaluation.with_loss=true", "evaluation.best_by=loss")
    told = [(0.1, 2.0), (0.3, 1.0), (0.2, 0.5), (None, None), (0.3, 0.5)]
    found = [
        [run.remember_if_best(numbers(ap), "raw", loss=loss) for ap, loss in told] for run in (by_ap, by_loss)
    ]
    assert found == [[True, True, False, False, False], [True, True, True, False, False]]
    assert (by_ap.chosen, by_loss.chosen) == ({"raw": 0.3}, {"raw": 0.5})


def test_patience_counts_evaluations_since_the_last_best_and_goes_on_after_a_resume() -> None:
    run = run_with("evaluation.patience=3")
    ends = []
    for found_best in (False, False, True, False, False):
        run.count_evaluation(found_best=found_best)
        ends.append(run.is_finished)
    assert ends == [False] * 5

    resumed = run_with("evaluation.patience=3")
    resumed.restore(
        {"num_closed_epochs": 5, "num_evaluated_epochs_since_best": run.num_evaluated_epochs_since_best}
    )
    resumed.count_evaluation(found_best=False)
    assert resumed.is_finished
    assert resumed.describe_impatience() == "3 evaluations in a row without a better box AP"


@pytest.mark.parametrize(("patience", "is_out"), [("null", False), ("2", True), ("3", False)])
def test_a_resume_may_have_another_patience(patience: str, is_out: bool) -> None:
    run = run_with(f"evaluation.patience={patience}")
    run.restore({"num_closed_epochs": 9, "num_evaluated_epochs_since_best": 2})
    assert run.is_out_of_patience is is_out


def test_a_checkpoint_of_an_older_version_has_not_waited_yet() -> None:
    run = run_with("evaluation.patience=1")
    run.restore({"num_closed_epochs": 9, "best_box_ap": 0.25})
    assert not run.is_out_of_patience
    assert run.chosen == {"raw": 0.25}
