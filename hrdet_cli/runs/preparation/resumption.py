"""Going on with a run that is in its folder, from its newest checkpoint that is whole."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hrdet_cli.engine.distributed.collectives import from_first
from hrdet_cli.engine.training.checkpoint import newest_valid
from hrdet_cli.engine.training.position import PositionMoved
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.events import Notice
from hrdet_cli.runs.preparation.start import Start
from hrdet_cli.runs.resume import (
    can_train_longer,
    check_same_spec,
    compare_data,
    has_other_validation_data,
    record_at,
    saved_best_by,
    with_warmup,
)
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.runs.trained_detector.checkpoint import require_keys
from hrdet_cli.runs.training_run import TrainingRun
from hrdet_cli.wording import counted


def go_on(run: TrainingRun, start: Start) -> Iterator[Notice]:
    """Load the newest checkpoint that is whole; a run that has none yet begins once more.

    Only the first process reads the run folder, which may be on its node's own disk.
    """
    if start.has_checkpoint:
        yield from _restore(run, start)
    else:
        yield from map(Notice, compare_data(run.plan, run.record, run.folder))
        yield Notice(f"{run.folder.path} has no checkpoint yet: begins with the first step once more")
    if start.record is None:
        yield Notice(f"{run.folder.record_file}: was missing or damaged, and is written anew")


def _restore(run: TrainingRun, start: Start) -> Iterator[Notice]:
    path, state, notices = from_first(lambda: _read_newest(run, start), what="checkpoint")
    yield from map(Notice, notices)
    run.record = _record_of(start, state)
    saved_record = record_at(state, run.record)
    moved = run.trainer.load_state_dict(with_warmup(state, saved_record))
    run.plan = replace(run.plan, warmup_steps=run.trainer.num_warmup_steps)
    best_by = saved_best_by(state) or run.spec.best_by
    run.restore(state, best_by=best_by, keeps_best=not has_other_validation_data(run.plan, saved_record))
    _refuse_shortening(run)
    yield Notice(f"goes on from {path} after step {run.trainer.step}")
    if moved is not None:
        yield Notice(_describe_move(run, moved))
    yield from map(Notice, run.best.describe_change(best_by, run.folder))
    if run.trainer.is_finished and run.num_closed_epochs == run.trainer.num_finished_epochs:
        longer = "--set optimisation.num_epochs=... trains longer"
        yield Notice(f"all epochs are done already{f'; {longer}' if can_train_longer(run.spec) else ''}")
    elif run.is_out_of_patience:
        yield Notice(f"{run.describe_impatience()}; --set evaluation.patience=null trains on")


def _read_newest(run: TrainingRun, start: Start) -> tuple[Path, dict[str, Any], list[str]]:
    path, state, skipped = newest_valid(run.folder.checkpoints_newest_first())
    require_keys(path, state, ("num_closed_epochs", "best_box_ap", "best_ema_box_ap"))
    check_same_spec(run.spec, str(state.get("spec", "")), file=path)  # spec.yaml may have been changed
    skipped = [f"skipped a checkpoint: {reason}" for reason in skipped]
    saved_record = record_at(state, _record_of(start, state))
    return path, state, [*skipped, *compare_data(run.plan, saved_record, run.folder)]


def _record_of(start: Start, state: Mapping[str, Any]) -> RunRecord:
    """The run's record, or the copy in its checkpoint, which those of older versions have not."""
    return record_at(state, RunRecord()) if start.record is None else start.record


def _describe_move(run: TrainingRun, moved: PositionMoved) -> str:
    plan, steps = run.plan, counted(moved.new_num_steps_per_epoch, "step")
    if moved.new_batch_size == moved.old_batch_size:
        changes = (
            f"an epoch has {steps} now, not {moved.old_num_steps_per_epoch:,}, "
            "for its pictures are more or fewer"
        )
    else:
        changes = (
            f"{counted(moved.new_batch_size, 'picture')} a step now "
            f"({counted(plan.num_processes, 'process', 'processes')}), {moved.old_batch_size} before; so the "
            f"learning rate is {plan.learning_rate:g} = {plan.learning_rate_rule}, and an epoch has {steps}, "
            f"not {moved.old_num_steps_per_epoch:,}"
        )
    if moved.old_step_in_epoch == 0:
        return changes
    return (
        f"{changes}; epoch {run.trainer.num_finished_epochs + 1} goes on after its step "
        f"{moved.new_step_in_epoch}, not {moved.old_step_in_epoch}: some of its pictures come twice, "
        "some not at all"
    )


def _refuse_shortening(run: TrainingRun) -> None:
    if run.trainer.step > run.trainer.num_steps:
        wanted = run.spec.optimisation.num_epochs
        raise SpecError(
            [
                f"optimisation.num_epochs: is {wanted}, but {run.folder.path} has trained longer "
                f"({counted(run.trainer.step, 'step')}) already; leave it or start a new run"
            ]
        )
