"""``hrdet train``: a spec in, a stream of events out, a run folder left behind."""

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.models.faster_rcnn import FasterRCNN
from hrdet_cli.engine.training.checkpoint import newest_valid, save_checkpoint
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.engine.training.reports import StepReport
from hrdet_cli.engine.visualisation.batch_sheet import draw_batch_sheet
from hrdet_cli.errors import DataError, NonFiniteLossError, SpecError
from hrdet_cli.runs.build import (
    autocast_dtype,
    build_plain_detector,
    build_trainer,
    build_training_loader,
    load_initial_weights,
    normalise_detector,
    select_device,
)
from hrdet_cli.runs.dataset import TrainingData, open_training_data
from hrdet_cli.runs.evaluate import evaluate_detector, require_keys, write_evaluation
from hrdet_cli.runs.events import (
    CheckpointSaved,
    Evaluated,
    Event,
    Notice,
    RunFinished,
    RunStarted,
    RunStopped,
)
from hrdet_cli.runs.plan import Plan, make_plan
from hrdet_cli.runs.record import describe_launch
from hrdet_cli.runs.resume import check_same_data, check_same_spec
from hrdet_cli.runs.run_folder import RunFolder, save_picture, write_text
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import LoadedSpec, format_spec


def train(
    loaded: LoadedSpec,
    folder: RunFolder,
    *,
    resume: bool,
    overwrite: bool,
    should_stop: Callable[[], bool],
) -> Iterator[Event]:
    """Train, evaluate and record a run.

    Args:
        loaded: The experiment.
        folder: Where the run goes, or that of the run to go on with.
        resume: Go on from the folder's newest checkpoint.
        overwrite: Replace the run that is in the folder, once everything else is known to be in order.
        should_stop: Asked after each step; True saves and ends the run.

    Yields:
        What happens, as it happens; the last event is `RunFinished` or `RunStopped`.

    Raises:
        HrdetError: The run cannot start or go on. Checkpoints on disk stay.
    """
    run = yield from _prepare(loaded, folder, resume=resume, overwrite=overwrite)
    started = time.perf_counter()
    with run.loader:
        for event in _work(run):
            yield event
            if should_stop():
                if isinstance(event, StepReport):
                    yield run.save(folder.last_checkpoint)
                yield RunStopped(folder.path, run.trainer.step)
                return
    yield RunFinished(folder.path, run.best_box_ap, time.perf_counter() - started)


@dataclass(slots=True)
class _Run:
    """A run's parts, and what its checkpoints carry beside the trainer's state.

    Attributes:
        num_closed_epochs: Epochs that were not only trained but also evaluated, where that was due, and kept.
        best_box_ap: Highest box AP of an evaluation so far.
    """

    spec: ExperimentSpec
    plan: Plan
    folder: RunFolder
    trainer: Trainer
    detector: FasterRCNN
    device: torch.device
    data: TrainingData
    loader: TrainingLoader
    num_closed_epochs: int = 0
    best_box_ap: float | None = None

    def save(self, path: Path) -> CheckpointSaved:
        """Write a checkpoint that training can go on from and evaluation can start from."""
        state: dict[str, Any] = {
            **self.trainer.state_dict(),
            "spec": format_spec(self.spec),
            "class_names": list(self.data.train.annotations.class_names),
            "category_ids": list(self.data.train.annotations.category_ids),
            "num_closed_epochs": self.num_closed_epochs,
            "best_box_ap": self.best_box_ap,
        }
        save_checkpoint(path, state)
        return CheckpointSaved(path, is_routine=path == self.folder.last_checkpoint)


def _prepare(
    loaded: LoadedSpec, folder: RunFolder, *, resume: bool, overwrite: bool
) -> Generator[Event, None, _Run]:
    """Build everything, then make the folder or restore what it holds, and record the launch."""
    spec = loaded.spec
    if resume:
        check_same_spec(spec, folder)
    else:
        folder.refuse_if_taken(overwrite=overwrite)
    data = open_training_data(spec.data)
    plan = make_plan(loaded, data, num_processes=current_world().size)
    device = select_device(spec.run)
    torch.manual_seed(spec.run.seed)  # for the initial weights; nothing else draws from torch's generator
    detector = build_plain_detector(spec.model, num_classes=len(plan.class_names))
    norms = normalise_detector(detector, spec.norm)
    weights = "of the checkpoint" if resume else load_initial_weights(detector, spec.model)
    detector.to(device)
    loader = build_training_loader(spec, data.train, device)
    trainer = build_trainer(spec, detector, loader, device, learning_rate=plan.learning_rate)
    run = _Run(spec, plan, folder, trainer, detector, device, data, loader)
    if resume:
        check_same_data(plan, folder)
        yield from _restore(run)
    else:
        folder.create(overwrite=overwrite)
    precision = "float32" if autocast_dtype(spec.run, device) is None else "bfloat16"
    folder.add_launch(
        describe_launch(
            plan, seed=spec.run.seed, device=str(device), precision=precision, first_step=trainer.step
        )
    )
    write_text(folder.spec_file, format_spec(spec))
    yield RunStarted(
        plan=plan,
        folder=folder.path,
        device=str(device),
        precision=precision,
        num_parameters=sum(p.numel() for p in detector.parameters()),
        norm=f"{norms.kind} ({norms.num_converted} layers, {norms.num_left_frozen} frozen)",
        backbone_weights=weights,
        resumed_at_step=trainer.step,
    )
    return run


def _restore(run: _Run) -> Iterator[Notice]:
    """Load the newest checkpoint that is whole, and forget what was logged after it."""
    path, state, skipped = newest_valid(run.folder.checkpoints_newest_first())
    for reason in skipped:
        yield Notice(f"skipped a checkpoint: {reason}")
    require_keys(path, state, ("num_closed_epochs", "best_box_ap"))
    run.trainer.load_state_dict(state)
    run.num_closed_epochs, run.best_box_ap = state["num_closed_epochs"], state["best_box_ap"]
    _refuse_shortening(run)
    run.folder.drop_metrics_after(step=run.trainer.step, epoch=run.num_closed_epochs)
    yield Notice(f"goes on from {path} after step {run.trainer.step}")
    if run.trainer.is_finished and run.num_closed_epochs == run.trainer.num_finished_epochs:
        yield Notice("all epochs are done already; --set optimisation.num_epochs=... trains longer")


def _refuse_shortening(run: _Run) -> None:
    if run.trainer.step > run.trainer.num_steps:
        wanted = run.spec.optimisation.num_epochs
        raise SpecError(
            [
                f"optimisation.num_epochs: is {wanted}, but {run.folder.path} has trained longer "
                f"({run.trainer.step} steps) already; leave it or start a new run"
            ]
        )


def _work(run: _Run) -> Iterator[Event]:
    """Train what is left to train; an epoch that was trained but not closed is closed first."""
    while True:
        if run.num_closed_epochs < run.trainer.num_finished_epochs:
            yield from _close_epoch(run)
        if run.trainer.is_finished:
            return
        yield from _train_epoch(run)


def _train_epoch(run: _Run) -> Iterator[StepReport]:
    """Train the rest of an epoch and log it; pictures the first batches.

    A batch that gives no finite loss is kept; a picture that cannot be read costs no step before it.
    """
    try:
        for report in run.trainer.train_epoch():
            if report.step <= run.spec.run.num_pictured_batches:
                _picture_batch(run, report.step)
            run.folder.append_metrics({"kind": "step", **report.to_json()})
            yield report
    except DataError:
        run.save(run.folder.last_checkpoint)
        raise
    except NonFiniteLossError as error:
        raise NonFiniteLossError(
            loss_name=error.loss_name,
            value=error.value,
            step=error.step,
            batch_file=_keep_bad_batch(run),
        ) from error


def _keep_bad_batch(run: _Run) -> Path | None:
    """Save the batch trained last; None where it cannot be, which must not hide why it was wanted."""
    batch = run.trainer.last_batch
    if not isinstance(batch, Batch):
        return None
    try:
        batch.save(run.folder.bad_batch_file, class_names=run.plan.class_names)
    except (OSError, RuntimeError):  # torch's writer hides some OSErrors behind a RuntimeError
        return None
    return run.folder.bad_batch_file


def _picture_batch(run: _Run, step: int) -> None:
    batch = run.trainer.last_batch
    if isinstance(batch, Batch):
        sheet = draw_batch_sheet(batch, run.plan.class_names)
        save_picture(sheet, run.folder.pictures / f"train-batch-{step}.png")


def _close_epoch(run: _Run) -> Iterator[Event]:
    """Save, evaluate when it is time, and keep the best and every n-th checkpoint."""
    epoch, spec = run.trainer.num_finished_epochs, run.spec
    every = spec.evaluation.every_num_epochs
    if every and (epoch % every == 0 or run.trainer.is_finished):
        yield run.save(run.folder.last_checkpoint)  # whatever the evaluation meets, the epoch is safe
        evaluated = yield from _evaluate(run, epoch)
        run.num_closed_epochs = epoch
        if evaluated.is_best:
            yield run.save(run.folder.best_checkpoint)
        yield evaluated
    run.num_closed_epochs = epoch
    yield run.save(run.folder.last_checkpoint)
    if epoch % spec.run.checkpoint_every_epochs == 0:
        yield run.save(run.folder.epoch_checkpoint(epoch))


def _evaluate(run: _Run, epoch: int) -> Generator[Event, None, Evaluated]:
    evaluation = yield from evaluate_detector(
        run.detector, run.spec, run.data.val, class_names=run.plan.class_names, device=run.device
    )
    write_evaluation(run.folder.evaluation, evaluation)
    box = evaluation.metrics.to_json()["box"]
    is_best = box["AP"] is not None and (run.best_box_ap is None or box["AP"] > run.best_box_ap)
    if is_best:
        run.best_box_ap = box["AP"]
    run.folder.append_metrics({"kind": "evaluation", "epoch": epoch, "step": run.trainer.step, "box": box})
    return Evaluated(epoch, box, is_best)
