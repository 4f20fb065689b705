"""``hrdet train``: a spec in, a stream of events out, a run folder left behind."""

import io
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.distributed.collectives import gather_everywhere
from hrdet_cli.engine.distributed.failure import PeerError
from hrdet_cli.engine.distributed.stacks import STACKS
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.training.reports import StepReport
from hrdet_cli.engine.visualisation.batch_sheet import draw_batch_sheet
from hrdet_cli.engine.visualisation.training_curves import draw_training_curves
from hrdet_cli.errors import DataError, HrdetError, NonFiniteLossError, OutputError
from hrdet_cli.runs.best_checkpoints import best_checkpoint
from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.runs.evaluation.detection import evaluate_detector
from hrdet_cli.runs.evaluation.result_files import Results
from hrdet_cli.runs.events import (
    Evaluated,
    EvaluatedWeights,
    EvaluationProgress,
    Event,
    Notice,
    RunFinished,
    RunStopped,
)
from hrdet_cli.runs.lack_of_memory import lack_told
from hrdet_cli.runs.metrics_file import read_history
from hrdet_cli.runs.output_files import save_picture, write_bytes, write_json
from hrdet_cli.runs.preparation.launch import Launch
from hrdet_cli.runs.preparation.preparation import prepare_run
from hrdet_cli.runs.run_folder import BEST_METRICS, RunFolder
from hrdet_cli.runs.run_lock import RunLock
from hrdet_cli.runs.run_notes.detector import describe_unmatched
from hrdet_cli.runs.run_page.page import write_own_page
from hrdet_cli.runs.run_record import Ending
from hrdet_cli.runs.training_run import TrainingRun
from hrdet_cli.runs.ways_to_go_on import describe_lack, describe_ways_to_go_on
from hrdet_cli.specs.loading import LoadedSpec


def train(
    loaded: LoadedSpec, folder: RunFolder, launch: Launch, *, stop_asked: Callable[[], bool]
) -> Generator[Event]:
    """Train, evaluate and record a run, together with all other processes of the group.

    Every process yields the same events, but for what became of trackers, which the first one has; only that
    writes into the folder.

    Args:
        loaded: The experiment.
        folder: Where the run goes, or that of the run to go on with.
        launch: How the command was started.
        stop_asked: Whether this process was asked to stop. When any was, all end after the same step.

    Yields:
        What happens, as it happens; the last event is `RunFinished` or `RunStopped`.

    Raises:
        HrdetError: The run cannot start or go on. Checkpoints on disk stay.
    """
    with RunLock(folder.path) as lock:  # which only the first process takes
        run = yield from prepare_run(loaded, folder, lock, launch, stop_asked)
        started = time.perf_counter()
        stacks = STACKS.kept_in(folder.stacks_file(current_world().rank))
        was_stopped = False
        try:
            with stacks, run.loader, run.metrics, run.trackers, run.writer:
                for event in _work(run):
                    yield event
                    if isinstance(event, StepReport | EvaluationProgress) and event.stop_asked:
                        if isinstance(event, StepReport):
                            yield from run.save(folder.last_checkpoint)
                        yield from _end(run, "stopped")
                        was_stopped = True
                        break
        except HrdetError as error:
            _end_with_error(run, error)
            raise
        seconds = time.perf_counter() - started
        yield from map(Notice, run.trackers.untold_failures())
        if was_stopped:
            yield RunStopped(folder.path, run.trainer.step)
            return
        yield from _end(run, "finished")
        yield RunFinished(folder.path, run.best.best_by, run.best.chosen, seconds)


def _end(run: TrainingRun, how: Literal["finished", "stopped"]) -> Iterator[Notice]:
    """Write down how the run ends, and its page."""
    run.note_ending(Ending(how, run.trainer.step))
    failure = write_own_page(run.folder) if run.is_first else None
    if failure is not None:
        yield Notice(failure)


def _end_with_error(run: TrainingRun, error: HrdetError) -> None:
    """The same; that a file cannot be written is not to hide the error."""
    with suppress(OutputError):
        run.note_ending(Ending("failed", run.trainer.step, f"{error}"))
        if run.is_first:
            write_own_page(run.folder)


def _work(run: TrainingRun) -> Iterator[Event]:
    """Train what is left to train; an epoch that was trained but not closed is closed first."""
    while True:
        if run.num_closed_epochs < run.trainer.num_finished_epochs:
            yield from _close_epoch(run)
        if run.is_finished:
            return
        yield from _train_epoch(run)


def _train_epoch(run: TrainingRun) -> Iterator[Event]:
    """Train the rest of an epoch and log it; pictures the first batches.

    A batch that gives no finite loss is kept; a picture that cannot be read costs no step before it, and the
    error says how to go on.
    """
    is_first_epoch, num_steps_with_boxes = run.trainer.step == 0, 0
    matching_loss = run.detector.head.matching_loss
    try:
        for report in _steps(run):
            num_steps_with_boxes += report.losses[matching_loss] > 0
            if run.is_first and report.step <= run.spec.run.num_pictured_batches:
                _picture_batch(run, report.step)
            run.log({"kind": "step", **report.to_json()})
            yield from map(Notice, run.trackers.untold_failures())
            for broken in run.note_broken(report.broken_pictures):
                yield Notice(f"another picture takes the place of a broken one: {broken.reason}")
            run.note_damaged(report.damaged_pictures)
            yield from (Notice(straggler.describe(run.hosts)) for straggler in report.stragglers)
            run.save_when_due()
            yield report
            if report.lacks_next_batch:  # the trainer raises the error next, on all processes together
                yield from run.save(run.folder.last_checkpoint)
    except NonFiniteLossError as error:
        raise NonFiniteLossError(
            loss_name=error.loss_name,
            value=error.value,
            step=error.step,
            batch_file=_keep_bad_batch(run),
        ) from error
    except DataError as error:
        raise DataError(f"{error}\n{describe_ways_to_go_on(run)}") from error
    except PeerError as error:
        if error.exit_code != DataError.exit_code:
            raise
        failure = error.failure
        message = f"{failure.message}\n{describe_ways_to_go_on(run)}"
        raise PeerError(replace(failure, message=message)) from error
    if is_first_epoch and run.trainer.num_finished_epochs == 1 and not num_steps_with_boxes:
        yield Notice(describe_unmatched(run.spec, matching_loss))


def _steps(run: TrainingRun) -> Iterator[StepReport]:
    """The rest of an epoch."""
    with lack_told(lambda: describe_lack(run)):
        yield from run.trainer.train_epoch()


def _keep_bad_batch(run: TrainingRun) -> Path | None:
    """Save the batch trained last, by the processes whose it was; the first file there is, on all of them."""
    kept = _save_bad_batch(run) if run.trainer.is_last_batch_suspect else None
    return next((file for file in gather_everywhere(kept, what="names of bad batches") if file), None)


def _save_bad_batch(run: TrainingRun) -> Path | None:
    """None where it cannot be saved, which must not hide why it was wanted."""
    batch, file = run.trainer.last_batch, run.folder.bad_batch_file(current_world().rank)
    if not isinstance(batch, Batch):
        return None
    content = io.BytesIO()
    batch.cpu().save(content, class_names=run.plan.class_names)
    try:
        write_bytes(file, content.getvalue())
    except OutputError:
        return None
    return file


def _picture_batch(run: TrainingRun, step: int) -> None:
    batch = run.trainer.last_batch
    if isinstance(batch, Batch):
        sheet = draw_batch_sheet(batch.cpu(), run.plan.class_names)
        file = run.folder.pictures / f"train-batch-{step}.png"
        save_picture(sheet, file)
        run.trackers.add_picture("train-batch", file, step)


def _picture_curves(run: TrainingRun) -> None:
    history = read_history(run.folder.metrics_file) if run.is_first else None
    if history is not None:
        save_picture(draw_training_curves(history, title=run.spec.name), run.folder.curves_file)


def _close_epoch(run: TrainingRun) -> Iterator[Event]:
    """Save, evaluate when it is time, and keep the best and every n-th checkpoint."""
    epoch, spec = run.trainer.num_finished_epochs, run.spec
    damage = run.untold_damage()
    if damage is not None:
        yield Notice(damage)
    best: list[Path] = []
    every = spec.evaluation.every_num_epochs
    is_due = every > 0 and (epoch % every == 0 or run.trainer.is_finished)
    if run.data.val is not None and is_due:
        yield from run.save(run.folder.last_checkpoint)  # whatever the evaluation meets, the epoch is safe
        for weights in run.evaluated_detectors:
            evaluated = yield from _evaluate(run, run.data.val, epoch, weights)
            if evaluated.is_best:
                best.append(best_checkpoint(run.folder, weights))
            yield evaluated
        run.count_evaluation(found_best=bool(best))
        if run.is_out_of_patience and not run.trainer.is_finished:
            yield Notice(f"{run.describe_impatience()}: the run ends after epoch {epoch}")
    if is_due or run.is_finished:
        _picture_curves(run)
    run.num_closed_epochs = epoch
    is_kept = epoch % spec.run.checkpoint_every_epochs == 0
    yield from run.save(
        *best, run.folder.last_checkpoint, *([run.folder.epoch_checkpoint(epoch)] if is_kept else [])
    )
    if is_kept and run.is_first and spec.run.num_epoch_checkpoints is not None:
        run.folder.keep_newest_epochs(spec.run.num_epoch_checkpoints)


def _evaluate(
    run: TrainingRun, part: DatasetPart, epoch: int, weights: EvaluatedWeights
) -> Generator[Event, None, Evaluated]:
    evaluation = yield from evaluate_detector(
        run.evaluated_detectors[weights],
        run.spec,
        part,
        class_names=run.plan.class_names,
        device=run.device,
        results=Results(
            origin=run.evaluation_origin(part, weights), folder=run.folder.evaluation_of(weights)
        ),
        stop_asked=run.stop_asked,
        leaves_out_broken=True,  # days of training must not end with one picture
        with_loss=run.spec.evaluation.with_loss,
    )
    yield from map(Notice, run.untold(evaluation.notices()))
    left_out = {"num_broken_pictures": len(evaluation.broken)} if evaluation.broken else {}
    numbers = evaluation.metrics.numbers
    run.log(
        {
            "kind": "evaluation",
            "weights": weights,
            "epoch": epoch,
            "step": run.trainer.step,
            **{str(task): dict(of_task) for task, of_task in numbers.items()},
            **evaluation.losses_to_json(),
            **left_out,
        }
    )
    for file in evaluation.files:
        if file.suffix == ".png":
            run.trackers.add_picture(f"{file.parent.name}/{file.stem}", file, run.trainer.step)
    is_best = run.best.take_if_better(numbers, weights, loss=evaluation.loss)
    if is_best and run.is_first:
        write_json(run.folder.evaluation_of(weights) / BEST_METRICS, evaluation.to_json())
    return Evaluated(epoch, weights, numbers, is_best, evaluation.loss)
