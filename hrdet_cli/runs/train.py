"""``hrdet train``: a spec in, a stream of events out, a run folder left behind."""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.distributed.collectives import from_first, gather_everywhere
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.models.faster_rcnn import FasterRCNN
from hrdet_cli.engine.training.checkpoint import newest_valid, save_checkpoint
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.engine.training.position import PositionMoved
from hrdet_cli.engine.training.reports import StepReport
from hrdet_cli.engine.visualisation.batch_sheet import draw_batch_sheet
from hrdet_cli.errors import DataError, NonFiniteLossError, SpecError
from hrdet_cli.runs.build import (
    build_plain_detector,
    build_trainer,
    build_training_loader,
    describe_norms,
    load_initial_weights,
    normalise_detector,
    place_detector,
    precision_name,
    require_trainable_norm,
    select_device,
)
from hrdet_cli.runs.dataset import TrainingData, open_training_data
from hrdet_cli.runs.evaluate import evaluate_detector, require_keys
from hrdet_cli.runs.events import (
    CheckpointSaved,
    Evaluated,
    EvaluationProgress,
    Event,
    Notice,
    RunFinished,
    RunStarted,
    RunStopped,
)
from hrdet_cli.runs.group_check import check_group
from hrdet_cli.runs.plan import Plan, make_plan
from hrdet_cli.runs.record import describe_launch
from hrdet_cli.runs.resume import check_same_data, check_same_spec
from hrdet_cli.runs.run_folder import RunFolder, save_picture, write_text
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import LoadedSpec, format_spec


@dataclass(frozen=True, slots=True)
class Launch:
    """How a training command was started.

    Attributes:
        resume: Go on from the folder's newest checkpoint.
        overwrite: Replace the run that is in the folder, once everything else is known to be in order.
        hosts: Name of each process's node, by rank.
        launch_id: The same for all processes and restarts of one launch; None where nothing restarts them.
    """

    resume: bool
    overwrite: bool
    hosts: tuple[str, ...]
    launch_id: str | None


def train(
    loaded: LoadedSpec, folder: RunFolder, launch: Launch, *, stop_asked: Callable[[], bool]
) -> Iterator[Event]:
    """Train, evaluate and record a run, together with all other processes of the group.

    Every process yields the same events; only the first one writes into the folder.

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
    run = yield from _prepare(loaded, folder, launch, stop_asked)
    started = time.perf_counter()
    with run.loader:
        for event in _work(run):
            yield event
            if isinstance(event, StepReport | EvaluationProgress) and event.stop_asked:
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
    stop_asked: Callable[[], bool]
    num_closed_epochs: int = 0
    best_box_ap: float | None = None

    @property
    def is_first(self) -> bool:
        """Whether this process writes the run's files; the others only compute."""
        return current_world().rank == 0

    def log(self, line: Mapping[str, Any]) -> None:
        """Add a line to the metrics file."""
        if self.is_first:
            self.folder.append_metrics(line)

    def save(self, path: Path) -> CheckpointSaved:
        """Write a checkpoint that training can go on from and evaluation can start from."""
        if self.is_first:
            self._write_checkpoint(path)
        return CheckpointSaved(path, is_routine=path == self.folder.last_checkpoint)

    def _write_checkpoint(self, path: Path) -> None:
        state: dict[str, Any] = {
            **self.trainer.state_dict(),
            "spec": format_spec(self.spec),
            "class_names": list(self.data.train.annotations.class_names),
            "category_ids": list(self.data.train.annotations.category_ids),
            "num_closed_epochs": self.num_closed_epochs,
            "best_box_ap": self.best_box_ap,
        }
        save_checkpoint(path, state)


def _prepare(
    loaded: LoadedSpec, folder: RunFolder, launch: Launch, stop_asked: Callable[[], bool]
) -> Generator[Event, None, _Run]:
    """Build everything, compare the processes, then make the folder or restore what it holds."""
    spec = loaded.spec
    resume = from_first(lambda: _goes_on(spec, folder, launch), what="state of the run folder")
    data = open_training_data(spec.data)
    plan = make_plan(loaded, data, num_processes=current_world().size)
    device = select_device(spec.run)
    require_trainable_norm(spec.norm, device)
    torch.manual_seed(spec.run.seed)  # for the initial weights; nothing else draws from torch's generator
    detector = build_plain_detector(spec.model, num_classes=len(plan.class_names))
    norms = normalise_detector(detector, spec.norm)
    weights = "of the checkpoint" if resume else load_initial_weights(detector, spec.model)
    place_detector(detector, spec.run, device)
    check_group(spec, plan, detector, device, launch.hosts)
    loader = build_training_loader(spec, data.train, device)
    trainer = build_trainer(
        spec, detector, loader, device, learning_rate=plan.learning_rate, stop_asked=stop_asked
    )
    run = _Run(spec, plan, folder, trainer, detector, device, data, loader, stop_asked)
    precision = precision_name(spec.run, device)
    if norms.back_end == "equal-count":
        yield Notice(
            "norm.back_end equal-count is wrong for unequal pictures; it shows what went wrong in 2019"
        )
    if resume:
        yield from _restore(run)
    record = describe_launch(
        plan,
        seed=spec.run.seed,
        device=str(device),
        precision=precision,
        first_step=trainer.step,
        hosts=launch.hosts,
        launch_id=launch.launch_id,
    )
    from_first(lambda: _open_folder(run, launch, record, resume=resume), what="making of the run folder")
    yield RunStarted(
        plan=plan,
        folder=folder.path,
        device=str(device),
        precision=precision,
        num_parameters=sum(p.numel() for p in detector.parameters()),
        norm=describe_norms(norms),
        backbone_weights=weights,
        resumed_at_step=trainer.step,
        num_steps=trainer.num_steps,
    )
    return run


def _goes_on(spec: ExperimentSpec, folder: RunFolder, launch: Launch) -> bool:
    """Whether there is a run to go on with; refuses what could not be done, before any work.

    A launch that finds its own name in the record was restarted after a process was lost: it goes on, unless
    it was lost before its first checkpoint.
    """
    is_restart = launch.launch_id is not None and folder.was_begun_by(launch.launch_id)
    if launch.resume or (is_restart and folder.checkpoints_newest_first()):
        check_same_spec(spec, folder)
        return True
    folder.refuse_if_taken(overwrite=launch.overwrite or is_restart)
    return False


def _open_folder(run: _Run, launch: Launch, record: Mapping[str, Any], *, resume: bool) -> None:
    """Make the folder where the run begins in it, and write down what starts."""
    if not resume:
        is_restart = launch.launch_id is not None and run.folder.was_begun_by(launch.launch_id)
        run.folder.create(overwrite=launch.overwrite or is_restart)
    run.folder.add_launch(record)
    write_text(run.folder.spec_file, format_spec(run.spec))


def _restore(run: _Run) -> Iterator[Notice]:
    """Load the newest checkpoint that is whole, and forget what was logged after it.

    Only the first process reads the run folder, which may be on its node's own disk.
    """
    path, state, skipped = from_first(lambda: _read_newest(run), what="checkpoint")
    for reason in skipped:
        yield Notice(f"skipped a checkpoint: {reason}")
    moved = run.trainer.load_state_dict(state)
    run.num_closed_epochs, run.best_box_ap = state["num_closed_epochs"], state["best_box_ap"]
    _refuse_shortening(run)
    if run.is_first:
        run.folder.drop_metrics_after(step=run.trainer.step, epoch=run.num_closed_epochs)
    yield Notice(f"goes on from {path} after step {run.trainer.step}")
    if moved is not None:
        yield Notice(_describe_move(run, moved))
    if run.trainer.is_finished and run.num_closed_epochs == run.trainer.num_finished_epochs:
        yield Notice("all epochs are done already; --set optimisation.num_epochs=... trains longer")


def _read_newest(run: _Run) -> tuple[Path, dict[str, Any], list[str]]:
    check_same_data(run.plan, run.folder)
    path, state, skipped = newest_valid(run.folder.checkpoints_newest_first())
    require_keys(path, state, ("num_closed_epochs", "best_box_ap"))
    return path, state, skipped


def _describe_move(run: _Run, moved: PositionMoved) -> str:
    plan = run.plan
    return (
        f"{moved.new_batch_size} pictures a step now ({plan.num_processes} processes), "
        f"{moved.old_batch_size} before; so the learning rate is {plan.learning_rate:g} = {plan.learning_rate_rule}, an epoch has "
        f"{moved.new_num_steps_per_epoch} steps, not {moved.old_num_steps_per_epoch}, and epoch "
        f"{run.trainer.num_finished_epochs + 1} goes on after its step {moved.new_step_in_epoch}, not "
        f"{moved.old_step_in_epoch}: some of its pictures come twice, some not at all"
    )


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
            if run.is_first and report.step <= run.spec.run.num_pictured_batches:
                _picture_batch(run, report.step)
            run.log({"kind": "step", **report.to_json()})
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
    """Save the batch trained last, by the processes whose it was; the first file there is, on all of them."""
    kept = _save_bad_batch(run) if run.trainer.is_last_batch_suspect else None
    return next((file for file in gather_everywhere(kept, what="names of bad batches") if file), None)


def _save_bad_batch(run: _Run) -> Path | None:
    """None where it cannot be saved, which must not hide why it was wanted."""
    batch, file = run.trainer.last_batch, run.folder.bad_batch_file(current_world().rank)
    if not isinstance(batch, Batch):
        return None
    try:
        batch.save(file, class_names=run.plan.class_names)
    except (OSError, RuntimeError):  # torch's writer hides some OSErrors behind a RuntimeError
        return None
    return file


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
        run.detector,
        run.spec,
        run.data.val,
        class_names=run.plan.class_names,
        device=run.device,
        out=run.folder.evaluation,
        stop_asked=run.stop_asked,
    )
    box = evaluation.metrics.to_json()["box"]
    is_best = box["AP"] is not None and (run.best_box_ap is None or box["AP"] > run.best_box_ap)
    if is_best:
        run.best_box_ap = box["AP"]
    run.log({"kind": "evaluation", "epoch": epoch, "step": run.trainer.step, "box": box})
    return Evaluated(epoch, box, is_best)
