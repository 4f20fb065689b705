"""How a training run begins: everything is built and checked before the folder is touched."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch

from hrdet_cli.engine.data.shared_annotations import load_annotations_once
from hrdet_cli.engine.distributed.collectives import from_first
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.training.checkpoint import newest_valid
from hrdet_cli.engine.training.position import PositionMoved
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.anchor_advice import fitted_settings, with_settings
from hrdet_cli.runs.best_checkpoints import BestCheckpoints
from hrdet_cli.runs.build.compilation import compilation_notices, require_compiler
from hrdet_cli.runs.build.detector import (
    build_plain_detector,
    describe_norms,
    normalise_detector,
    place_detector,
    require_trainable_norm,
)
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.build.numerics import precision_name
from hrdet_cli.runs.build.parameter_groups import describe_parameter_groups
from hrdet_cli.runs.build.steps import with_batch_size
from hrdet_cli.runs.build.trainer import build_trainer
from hrdet_cli.runs.dataset import DataNeeds, open_training_data
from hrdet_cli.runs.device import kernel_notices, kernels_of, select_device
from hrdet_cli.runs.evaluation_results import require_rules
from hrdet_cli.runs.events import (
    Event,
    Notice,
    RunStarted,
)
from hrdet_cli.runs.group_check import check_group
from hrdet_cli.runs.initial_weights import InitialWeights, load_initial_weights
from hrdet_cli.runs.metrics_file import MetricsFile
from hrdet_cli.runs.output_files import refuse_unwritable_folder
from hrdet_cli.runs.plan import make_plan
from hrdet_cli.runs.preflight import find_batch_size, rehearse_largest_step
from hrdet_cli.runs.record import describe_launch
from hrdet_cli.runs.resume import (
    as_begun,
    can_train_longer,
    check_same_spec,
    compare_data,
    keys_since,
    mend_spec,
    saved_anchors,
    saved_batch_size,
    saved_best_by,
)
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_lock import RunLock
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.runs.tracking.opening import open_trackers
from hrdet_cli.runs.tracking.tracker import require_trackers
from hrdet_cli.runs.trained_detector.checkpoint import require_keys
from hrdet_cli.runs.training_run import TrainingRun
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.layers import is_asked_for
from hrdet_cli.specs.loading import LoadedSpec

Resume = Literal["never", "if-begun", "always"]


@dataclass(frozen=True, slots=True)
class Launch:
    """How a training command was started.

    Attributes:
        resume: Whether to go on with the run in the folder; ``"if-begun"`` does where there is one.
        overwrite: Replace the run that is in the folder, once everything else is known to be in order.
        hosts: Name of each process's node, by rank.
        launch_id: The same for all processes and restarts of one launch; None where nothing restarts them.
    """

    resume: Resume
    overwrite: bool
    hosts: tuple[str, ...]
    launch_id: str | None


@dataclass(frozen=True, slots=True)
class _Start:
    """What is to be done with the run folder.

    Attributes:
        goes_on: There is a run, which goes on: from its newest checkpoint, or its first step where it has
            none yet.
        has_checkpoint: Whether it has one.
        is_restart: Whether this same launch was in the folder before, and lost a process.
        record: Of the run that goes on; None where it is missing or damaged.
        keys_since: Keys of the spec that the hrdet which began the run did not have.
        batch_size: Pictures of each process that the run was begun with, where it goes on with as many and
            does not look for another number.
        anchors: Settings of the anchors that were found when it was begun; none where none are to be found.
        notices: What the user should know of the folder.
    """

    goes_on: bool
    has_checkpoint: bool
    is_restart: bool
    record: RunRecord | None
    keys_since: tuple[str, ...]
    batch_size: int | None
    anchors: tuple[str, ...]
    notices: tuple[str, ...]


def prepare_run(
    loaded: LoadedSpec, folder: RunFolder, lock: RunLock, launch: Launch, stop_asked: Callable[[], bool]
) -> Generator[Event, None, TrainingRun]:
    """Build everything, compare the processes, then make the folder or restore what it holds.

    Args:
        loaded: The experiment.
        folder: Where the run goes, or that of the run to go on with.
        lock: Taken before anything in the folder is written or believed; the caller releases it.
        launch: How the command was started.
        stop_asked: Whether this process was asked to stop.

    Yields:
        Notices, and `RunStarted` at the end.

    Raises:
        HrdetError: The run cannot start or go on.
    """
    spec = loaded.spec
    from_first(lambda: require_trackers(spec.run.trackers), what="trackers")
    start = from_first(lambda: _look_into(folder, lock, spec, launch), what="state of the run folder")
    yield from map(Notice, start.notices)
    if start.keys_since:
        _refuse_settings_since(loaded, start.keys_since)
        loaded = replace(loaded, spec=as_begun(spec, start.keys_since))
        spec = loaded.spec
    if start.anchors:
        loaded = replace(loaded, spec=with_settings(spec, start.anchors))
        spec = loaded.spec
    data = open_training_data(
        spec.data,
        DataNeeds.of(spec.model.head),
        is_scored=spec.evaluation.every_num_epochs > 0,
        load=load_annotations_once,
    )
    if data.val is not None:
        require_rules(data.val.annotations, spec.evaluation)
    yield from map(Notice, data.notices)
    found = from_first(lambda: fitted_settings(loaded.spec, data.train.annotations), what="anchors")
    if found:
        loaded = replace(loaded, spec=with_settings(spec, found))
        spec = loaded.spec
        yield Notice(f"anchors are auto, and these fit the training boxes best: {', '.join(found)}")
    device = select_device(spec.run)
    yield from map(Notice, kernel_notices(device))
    require_trainable_norm(spec.norm, device)
    require_compiler(spec.run, device)
    if spec.data.batch_size_per_process == "auto":
        num_pictures = start.batch_size or find_batch_size(spec, data.train, device)
        loaded = replace(loaded, spec=with_batch_size(spec, num_pictures))
        spec = loaded.spec
        yield Notice(f"data.batch_size_per_process is auto: {num_pictures} pictures fit on each process")
    plan = make_plan(loaded, data, num_processes=current_world().size)
    yield from (Notice(note.text) for note in plan.notes)
    torch.manual_seed(spec.run.seed)  # for the initial weights; nothing else draws from torch's generator
    detector = build_plain_detector(spec.model, num_classes=len(plan.class_names))
    norms = normalise_detector(detector, spec.norm)
    if start.has_checkpoint:
        weights = InitialWeights("of the checkpoint", ())
    else:
        weights = load_initial_weights(detector, spec.model, class_names=plan.class_names)
    yield from map(Notice, weights.notices)
    place_detector(detector, spec.run, device)
    check_group(spec, plan, detector, device, launch.hosts)
    loader = build_training_loader(spec, data.train, device)
    groups = describe_parameter_groups(detector, spec.optimisation, learning_rate=plan.learning_rate)
    trainer = build_trainer(
        spec, detector, loader, device, learning_rate=plan.learning_rate, stop_asked=stop_asked
    )
    run = TrainingRun(
        spec,
        plan,
        folder,
        trainer,
        detector,
        device,
        data,
        loader,
        stop_asked,
        record=start.record or RunRecord(),
        metrics=MetricsFile(folder.metrics_file),
        best=BestCheckpoints(spec.best_by),
        hosts=launch.hosts,
    )
    precision = precision_name(spec.run, device)
    if norms.back_end == "equal-count":
        yield Notice(
            "norm.back_end equal-count is wrong for unequal pictures; it shows what went wrong in 2019"
        )
    if start.goes_on:
        yield from _go_on(run, start)
    largest_step = None
    if not run.is_finished:
        yield from map(Notice, compilation_notices(spec.run, loader.steps))
        largest_step = yield from rehearse_largest_step(run)
    entry = describe_launch(
        plan,
        seed=spec.run.seed,
        device=str(device),
        precision=precision,
        kernels=kernels_of(device),
        first_step=trainer.step,
        hosts=launch.hosts,
        launch_id=launch.launch_id,
        largest_step=largest_step,
    )
    run.record = run.record.with_launch(entry)
    notices = from_first(lambda: _open_folder(run, start, lock, launch), what="making of the run folder")
    yield from map(Notice, notices)
    if run.is_first:
        run.trackers = open_trackers(spec, run.spec_text, folder, first_step=trainer.step)
    yield RunStarted(
        plan=plan,
        folder=folder.path,
        device=str(device),
        precision=precision,
        num_parameters=sum(p.numel() for p in detector.parameters()),
        norm=describe_norms(norms, spec.norm),
        weights=weights.description,
        parameter_groups=groups,
        resumed_at_step=trainer.step,
        num_steps=trainer.num_steps,
        largest_step=largest_step,
    )
    return run


def _look_into(folder: RunFolder, lock: RunLock, spec: ExperimentSpec, launch: Launch) -> _Start:
    """Find out how to start; refuses what could not be done, before any work.

    A launch that finds its own name in the record was restarted after a process was lost: it goes on.
    """
    may_go_on = launch.resume != "never" or launch.launch_id is not None
    if launch.resume == "always":
        folder.require()
    else:
        folder.refuse_if_foreign()
    refuse_unwritable_folder(folder.path, option="--run-dir")
    if folder.path.is_dir():
        lock.take()
    record = folder.read_record() if may_go_on else None
    is_restart = launch.launch_id is not None and record is not None and record.was_begun_by(launch.launch_id)
    if not is_restart and (launch.resume == "never" or not folder.holds_run()):
        folder.refuse_if_taken(overwrite=launch.overwrite)
        return _Start(False, False, False, None, (), None, (), ())
    mended = mend_spec(folder)
    anchors = saved_anchors(spec, folder)
    check_same_spec(with_settings(spec, anchors), folder.read_spec(), file=folder.spec_file)
    notices = [mended] if mended else []
    if is_restart:
        notices.append("started anew after a process was lost")
    return _Start(
        goes_on=True,
        has_checkpoint=bool(folder.checkpoints_newest_first()),
        is_restart=is_restart,
        record=record,
        keys_since=keys_since(folder.read_spec(), spec),
        batch_size=None if launch.resume == "always" and not is_restart else saved_batch_size(folder),
        anchors=anchors,
        notices=tuple(notices),
    )


def _refuse_settings_since(loaded: LoadedSpec, keys: Sequence[str]) -> None:
    """What a run was begun without it cannot get later; a preset may have learned of it meanwhile."""
    problems = [
        f"{source}: {key} is new, and the run was begun without it; leave it away or start a new run"
        for key in keys
        if is_asked_for(source := loaded.sources.get(key, ""))
    ]
    if problems:
        raise SpecError(problems)


def _open_folder(run: TrainingRun, start: _Start, lock: RunLock, launch: Launch) -> list[str]:
    """Make the folder where the run begins in it, and write down what starts; returns what to tell the user.

    The record comes before the spec: a folder with a spec has both.
    """
    lock.take()
    notices = []
    if start.goes_on:
        run.folder.make_parts()
        damaged = run.metrics.drop_after(step=run.trainer.step, epoch=run.num_closed_epochs)
        notices += [damaged] if damaged else []
    else:
        run.folder.create(overwrite=launch.overwrite)
    run.folder.write_record(run.record)
    run.folder.write_spec(run.spec_text)
    if not lock.is_kept:
        notices.append(
            f"the file system of {run.folder.path} keeps no locks, so nothing hinders a second run from "
            "writing into it"
        )
    return notices


def _go_on(run: TrainingRun, start: _Start) -> Iterator[Notice]:
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


def _restore(run: TrainingRun, start: _Start) -> Iterator[Notice]:
    path, state, notices = from_first(lambda: _read_newest(run, start), what="checkpoint")
    yield from map(Notice, notices)
    run.record = _record_of(start, state)
    moved = run.trainer.load_state_dict(state)
    best_by = saved_best_by(state) or run.spec.best_by
    run.restore(state, best_by=best_by)
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


def _read_newest(run: TrainingRun, start: _Start) -> tuple[Path, dict[str, Any], list[str]]:
    path, state, skipped = newest_valid(run.folder.checkpoints_newest_first())
    require_keys(path, state, ("num_closed_epochs", "best_box_ap", "best_ema_box_ap"))
    check_same_spec(run.spec, str(state.get("spec", "")), file=path)  # spec.yaml may have been changed
    skipped = [f"skipped a checkpoint: {reason}" for reason in skipped]
    return path, state, [*skipped, *compare_data(run.plan, _record_of(start, state), run.folder)]


def _record_of(start: _Start, state: Mapping[str, Any]) -> RunRecord:
    """The run's record, or the copy in its checkpoint, which those of older versions have not."""
    if start.record is not None:
        return start.record
    return RunRecord.parse(state["record"]) if "record" in state else RunRecord()


def _describe_move(run: TrainingRun, moved: PositionMoved) -> str:
    plan = run.plan
    if moved.new_batch_size == moved.old_batch_size:
        changes = (
            f"an epoch has {moved.new_num_steps_per_epoch} steps now, not {moved.old_num_steps_per_epoch}, "
            "for its pictures are more or fewer"
        )
    else:
        changes = (
            f"{moved.new_batch_size} pictures a step now ({plan.num_processes} processes), "
            f"{moved.old_batch_size} before; so the learning rate is {plan.learning_rate:g} = "
            f"{plan.learning_rate_rule}, and an epoch has {moved.new_num_steps_per_epoch} steps, not "
            f"{moved.old_num_steps_per_epoch}"
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
                f"({run.trainer.step} steps) already; leave it or start a new run"
            ]
        )
