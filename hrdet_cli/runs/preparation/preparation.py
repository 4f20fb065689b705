"""Build a training run, compare the processes, and open the folder or restore what it holds."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace

import torch

from hrdet_cli.engine.data.shared_annotations import load_annotations_once
from hrdet_cli.engine.distributed.collectives import from_first
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.runs.anchor_advice import fitted_settings
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
from hrdet_cli.runs.dataset.opening import DataNeeds, open_training_data
from hrdet_cli.runs.dataset.part import TrainingData
from hrdet_cli.runs.device import kernel_notices, select_device
from hrdet_cli.runs.evaluation.result_files import require_rules
from hrdet_cli.runs.events import (
    Event,
    Notice,
    RunStarted,
)
from hrdet_cli.runs.group_check import check_group
from hrdet_cli.runs.initial_weights import InitialWeights, load_initial_weights
from hrdet_cli.runs.metrics_file import MetricsFile
from hrdet_cli.runs.plan import LargestStep, Plan
from hrdet_cli.runs.planning import make_plan
from hrdet_cli.runs.preflight import find_batch_size, rehearse_largest_step
from hrdet_cli.runs.preparation.launch import Launch
from hrdet_cli.runs.preparation.launch_entry import describe_launch
from hrdet_cli.runs.preparation.resumption import go_on
from hrdet_cli.runs.preparation.start import Start, look_into, with_saved_settings
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_lock import RunLock
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.runs.starting_weights import refuse_missing_weights
from hrdet_cli.runs.tracking.opening import open_trackers
from hrdet_cli.runs.tracking.tracker import require_trackers
from hrdet_cli.runs.training_run import TrainingRun
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import LoadedSpec, with_settings
from hrdet_cli.wording import counted


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
    from_first(lambda: require_trackers(loaded.spec.run.trackers), what="trackers")
    start = from_first(lambda: look_into(folder, lock, loaded, launch), what="state of the run folder")
    yield from map(Notice, start.notices)
    loaded = with_saved_settings(loaded, start)
    if not start.has_checkpoint:
        refuse_missing_weights(loaded.spec.model.weights)
    data = yield from _open_data(loaded.spec)
    loaded = yield from _with_found_anchors(loaded, data)
    device = yield from _choose_device(loaded.spec)
    loaded = yield from _with_found_batch_size(loaded, start, data, device)
    spec = loaded.spec
    plan = make_plan(loaded, data, num_processes=current_world().size)
    told = start.record.told_notes() if start.has_checkpoint and start.record is not None else frozenset()
    yield from (Notice(note.text) for note in plan.notes if note.text not in told)
    initial = yield from _build_detector(spec, plan, device, has_checkpoint=start.has_checkpoint)
    detector = initial.detector
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
    if start.goes_on:
        yield from go_on(run, start)
    largest_step = yield from _rehearse(run)
    run.record = run.record.with_launch(describe_launch(run, launch, largest_step))
    notices = from_first(lambda: _open_folder(run, start, lock, launch), what="making of the run folder")
    yield from map(Notice, notices)
    if run.is_first:
        run.trackers = open_trackers(spec, run.spec_text, folder, first_step=trainer.step)
    yield RunStarted(
        plan=run.plan,
        folder=folder.path,
        device=str(device),
        precision=precision_name(spec.run, device),
        num_parameters=sum(p.numel() for p in detector.parameters()),
        norm=initial.norm,
        weights=initial.weights,
        parameter_groups=groups,
        resumed_at_step=trainer.step,
        num_steps=trainer.num_steps,
        largest_step=largest_step,
    )
    return run


def _open_data(spec: ExperimentSpec) -> Generator[Notice, None, TrainingData]:
    data = open_training_data(
        spec.data,
        DataNeeds.of(spec.model.head),
        is_scored=spec.evaluation.every_num_epochs > 0,
        load=load_annotations_once,
    )
    if data.val is not None:
        require_rules(data.val.annotations, spec.evaluation)
    yield from map(Notice, data.notices)
    return data


def _with_found_anchors(loaded: LoadedSpec, data: TrainingData) -> Generator[Notice, None, LoadedSpec]:
    """The experiment with numbers for its anchors, where they are ``auto``."""
    found = from_first(lambda: fitted_settings(loaded.spec, data.train.annotations), what="anchors")
    if not found:
        return loaded
    yield Notice(f"anchors are auto, and these fit the training boxes best: {', '.join(found)}")
    return replace(loaded, spec=with_settings(loaded.spec, found))


def _choose_device(spec: ExperimentSpec) -> Generator[Notice, None, torch.device]:
    """The device, which the norm and the compiler that were asked for must go with."""
    device = select_device(spec.run)
    yield from map(Notice, kernel_notices(device))
    require_trainable_norm(spec.norm, device)
    require_compiler(spec.run, device)
    return device


def _with_found_batch_size(
    loaded: LoadedSpec, start: Start, data: TrainingData, device: torch.device
) -> Generator[Notice, None, LoadedSpec]:
    """The experiment with a number of pictures of each process, where that is ``auto``."""
    if loaded.spec.data.batch_size_per_process != "auto":
        return loaded
    num_pictures = start.batch_size or find_batch_size(loaded.spec, data.train, device)
    fit = counted(num_pictures, "picture fits", "pictures fit")
    yield Notice(f"data.batch_size_per_process is auto: {fit} on each process")
    return replace(loaded, spec=with_batch_size(loaded.spec, num_pictures))


@dataclass(frozen=True, slots=True)
class _InitialDetector:
    """A detector on its device, and how its norms and weights are described."""

    detector: Detector
    norm: str
    weights: str


def _build_detector(
    spec: ExperimentSpec, plan: Plan, device: torch.device, *, has_checkpoint: bool
) -> Generator[Notice, None, _InitialDetector]:
    """The detector with its initial weights, or any where those of a checkpoint are to come."""
    torch.manual_seed(spec.run.seed)  # for the initial weights; nothing else draws from torch's generator
    detector = build_plain_detector(spec.model, num_classes=len(plan.class_names))
    norms = normalise_detector(detector, spec.norm)
    if has_checkpoint:
        weights = InitialWeights("of the checkpoint", ())
    else:
        weights = load_initial_weights(detector, spec.model, class_names=plan.class_names)
    yield from map(Notice, weights.notices)
    if norms.back_end == "equal-count":
        yield Notice(
            "norm.back_end equal-count is wrong for unequal pictures; it shows what went wrong in 2019"
        )
    place_detector(detector, spec.run, device)
    return _InitialDetector(detector, describe_norms(norms, spec.norm), weights.description)


def _rehearse(run: TrainingRun) -> Generator[Event, None, LargestStep | None]:
    """Try the largest step of what is left to train; None where nothing is left."""
    if run.is_finished:
        return None
    yield from map(Notice, compilation_notices(run.spec.run, run.loader.steps))
    return (yield from rehearse_largest_step(run))


def _open_folder(run: TrainingRun, start: Start, lock: RunLock, launch: Launch) -> list[str]:
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
