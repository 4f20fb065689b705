"""When a run has waited long enough for a better evaluation."""

from typing import Any, cast

import pytest

from hrdet_cli.runs.best_checkpoints import BestCheckpoints
from hrdet_cli.runs.metrics_file import MetricsFile
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.runs.training_run import TrainingRun
from hrdet_cli.specs.loading import load_spec


class Unfinished:
    """All that is asked of a trainer here."""

    is_finished = False


def run_with(*settings: str) -> TrainingRun:
    nothing, spec = cast("Any", None), load_spec(preset="demo", settings=[*settings]).spec
    return TrainingRun(
        spec,
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
        best=BestCheckpoints(spec.best_by),
        hosts=("node1",),
    )


def test_patience_counts_evaluations_since_the_last_best_and_goes_on_after_a_resume() -> None:
    run = run_with("evaluation.patience=3")
    ends = []
    for found_best in (False, False, True, False, False):
        run.count_evaluation(found_best=found_best)
        ends.append(run.is_finished)
    assert ends == [False] * 5

    resumed = run_with("evaluation.patience=3")
    resumed.restore(
        {"num_closed_epochs": 5, "num_evaluated_epochs_since_best": run.num_evaluated_epochs_since_best},
        best_by="box",
    )
    resumed.count_evaluation(found_best=False)
    assert resumed.is_finished
    assert resumed.describe_impatience() == "3 evaluations in a row without a better box AP"


@pytest.mark.parametrize(("patience", "is_out"), [("null", False), ("2", True), ("3", False)])
def test_a_resume_may_have_another_patience(patience: str, is_out: bool) -> None:
    run = run_with(f"evaluation.patience={patience}")
    run.restore({"num_closed_epochs": 9, "num_evaluated_epochs_since_best": 2}, best_by="box")
    assert run.is_out_of_patience is is_out


def test_a_run_whose_best_is_chosen_by_another_number_from_now_on_has_not_waited_yet() -> None:
    run = run_with("evaluation.patience=1")
    run.restore({"num_closed_epochs": 9, "num_evaluated_epochs_since_best": 2}, best_by="mask")
    assert not run.is_out_of_patience


def test_a_checkpoint_of_an_older_version_has_not_waited_yet() -> None:
    run = run_with("evaluation.patience=1")
    run.restore({"num_closed_epochs": 9, "best_box_ap": 0.25}, best_by="box")
    assert not run.is_out_of_patience
    assert run.best.chosen == {"raw": 0.25}


def test_with_other_validation_data_the_next_evaluation_is_the_best_and_none_was_in_vain() -> None:
    run = run_with("evaluation.patience=2")
    saved = {"num_closed_epochs": 9, "num_evaluated_epochs_since_best": 1, "best_box_ap": 0.25}
    run.restore(saved, best_by="box", keeps_best=False)
    assert run.num_closed_epochs == 9
    assert run.best.take_if_better({"box": {"AP": 0.1}}, "raw")
    run.count_evaluation(found_best=False)
    assert not run.is_out_of_patience
