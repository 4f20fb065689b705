"""Training from a script."""

import os
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from hrdet_cli.api.group import hosts_by_rank, require_group
from hrdet_cli.api.pictures import AnyPath
from hrdet_cli.api.stopping import signals_postponed
from hrdet_cli.errors import HrdetError, SpecError
from hrdet_cli.runs.events import Event, Notice, RunFinished, RunStopped
from hrdet_cli.runs.experiment import DataPaths, load_experiment
from hrdet_cli.runs.preparation.launch import Launch, Resume
from hrdet_cli.runs.resume import mend_spec
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.train import train as train_run
from hrdet_cli.specs.layers import mapping_layers

DataSource = AnyPath | tuple[AnyPath, AnyPath]
"""COCO's JSON with the folder or archive of its pictures, or a YOLO or Pascal VOC data set alone."""


def train(
    preset: str | None = None,
    *,
    spec: AnyPath | None = None,
    train_data: DataSource | list[DataSource] | None = None,
    val_data: DataSource | None = None,
    weights: AnyPath | None = None,
    from_scratch: bool = False,
    settings: Mapping[str, object] | None = None,
    run_dir: AnyPath | None = None,
    resume: Resume = "never",
    overwrite: bool = False,
    on_event: Callable[[Event], object] | None = None,
    stop_asked: Callable[[], bool] | None = None,
) -> RunFinished | RunStopped:
    """Train a detector, evaluating as it learns: `hrdet train` in a script, with the same run folder.

    Prints nothing. Ctrl-C, SIGTERM and other signals that ask to stop wait until the step in progress is
    finished and saved, and then do what they would have done: Ctrl-C is a ``KeyboardInterrupt`` from this
    function. A second Ctrl-C is one at once.

    A script trains in one process, on one GPU; under torchrun and other launchers, inside `process_group`, in
    all of theirs.

    Args:
        preset: Name of a preset. Exactly one of it and ``spec`` is needed, or neither to go on with a run.
        spec: A spec file of one's own.
        train_data: What to train on, in place of what the spec names: ``("train.json", "pictures")``, or the
            path of a YOLO ``data.yaml`` or a Pascal VOC folder; or a list of several data sets.
        val_data: What to evaluate on, likewise; without it, training data of one's own have no evaluation
            unless they name data for it.
        weights: What to start from: a file, a run folder, or a name such as ``"timm:hrnet_w18"``.
        from_scratch: Start from random weights, and train all that the preset would keep of trained ones.
        settings: Changes to the spec by dotted key, as ``{"optimisation.num_epochs": 24}``.
        run_dir: Where the run goes; None is ``runs/NAME``, after the spec's name.
        resume: ``"always"`` goes on with the run in ``run_dir``, ``"if-begun"`` does where there is one.
        overwrite: Replace the run in ``run_dir``.
        on_event: Called with what happens, as it happens, in every process: `RunStarted`, `StepReport`,
            `Evaluated`, `Notice` and the others. What it raises ends the run, unsaved since its last
            checkpoint.
        stop_asked: Asked in each step; True ends the run after it, saved, so that it can go on.

    Returns:
        `RunFinished` with the folder and the best number, or `RunStopped` where it was asked to stop.

    Raises:
        SpecError: The spec is not valid, or arguments do not go together.
        DataError: The data are missing or broken, or a picture cannot be read.
        WeightsError: The weights to start from, or the checkpoint to go on from, cannot be used.
        OutputError: The run folder is taken, missing, or cannot be written.
        NonFiniteLossError: A loss is NaN or infinite.
        OutOfMemoryError: A step does not fit into memory.
        GroupError: Processes contradict each other, or have not joined.
    """
    if resume != "never" and overwrite:
        raise SpecError([f"resume={resume!r} and overwrite=True exclude each other"])
    require_group()
    spec_file, mended = None if spec is None else Path(spec), None
    if resume != "never" and preset is None and spec is None:
        spec_file, mended = _saved_spec(run_dir)
    loaded = load_experiment(
        preset=preset,
        spec_file=spec_file,
        settings=mapping_layers(settings or {}),
        train_data=_data_sets(train_data),
        val_data=data_paths(val_data),
        weights=None if weights is None else os.fspath(weights),
        from_scratch=from_scratch,
    )
    folder = RunFolder(Path("runs") / loaded.spec.name if run_dir is None else Path(run_dir))
    launch = Launch(resume=resume, overwrite=overwrite, hosts=hosts_by_rank(), launch_id=None)
    tell = on_event or _ignore
    if mended is not None:
        tell(Notice(mended))
    last: Event | None = None
    with signals_postponed() as signal:
        asked = (lambda: signal.came() or stop_asked()) if stop_asked is not None else signal.came
        with closing(train_run(loaded, folder, launch, stop_asked=asked)) as events:
            for last in events:
                tell(last)
    if not isinstance(last, RunFinished | RunStopped):
        raise HrdetError(f"{folder.path}: the run ended without saying how")
    return last


def _data_sets(data: DataSource | list[DataSource] | None) -> list[DataPaths]:
    sources = data if isinstance(data, list) else [data]
    return [paths for source in sources if (paths := data_paths(source)) is not None]


def data_paths(data: DataSource | None) -> DataPaths | None:
    """Annotations and pictures as the command line has them.

    Raises:
        SpecError: They are something else.
    """
    match data:
        case None:
            return None
        case str() | os.PathLike():
            return os.fspath(data), ""
        case (str() | os.PathLike() as annotations, str() | os.PathLike() as images):
            return os.fspath(annotations), os.fspath(images)
    raise SpecError(
        [f"data are a pair (annotations, pictures), or the path of a YOLO or VOC data set; got {data!r}"]
    )


def _ignore(_: Event) -> None:
    """Nobody listens."""


def _saved_spec(run_dir: AnyPath | None) -> tuple[Path, str | None]:
    """The spec of the run to go on with, and what the user should know of it."""
    if run_dir is None:
        raise SpecError(["give run_dir, the folder of the run to go on with, or a preset or spec"])
    folder = RunFolder(Path(run_dir))
    return folder.spec_file, mend_spec(folder)
