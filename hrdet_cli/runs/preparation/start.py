"""What is to be done with the run folder, found out before any work."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hrdet_cli.errors import SpecError
from hrdet_cli.runs.output_files import refuse_unwritable_folder
from hrdet_cli.runs.preparation.launch import Launch
from hrdet_cli.runs.resume import (
    as_begun,
    check_same_spec,
    keys_since,
    mend_spec,
    saved_anchors,
    saved_batch_size,
    saved_weights,
)
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_lock import RunLock
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.specs.layers import is_asked_for
from hrdet_cli.specs.loading import LoadedSpec, with_settings


@dataclass(frozen=True, slots=True)
class Start:
    """What is to be done with the run folder.

    Attributes:
        goes_on: There is a run, which goes on: from its newest checkpoint, or its first step where it has
            none yet.
        has_checkpoint: Whether it has one.
        record: Of the run that goes on; None where it is missing or damaged.
        keys_since: Keys of the spec that the hrdet which began the run did not have.
        batch_size: Pictures of each process that the run was begun with, where it goes on with as many and
            does not look for another number.
        kept_settings: What was found when it was begun: the anchors, where they are to be found, and which
            file of weights was meant.
        notices: What the user should know of the folder.
    """

    goes_on: bool = False
    has_checkpoint: bool = False
    record: RunRecord | None = None
    keys_since: tuple[str, ...] = ()
    batch_size: int | None = None
    kept_settings: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


def look_into(folder: RunFolder, lock: RunLock, loaded: LoadedSpec, launch: Launch) -> Start:
    """Find out how to start; refuses what could not be done, before any work.

    A launch that finds its own name in the record was restarted after a process was lost: it goes on.

    Args:
        folder: Where the run goes, or that of the run to go on with.
        lock: Taken before anything in the folder is believed.
        loaded: What the command asks for.
        launch: How it was started.

    Raises:
        OutputError: The folder is not there, is another one, is taken, or cannot be written.
        SpecError: The run in it is of another spec.
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
        return Start()
    mended = mend_spec(folder)
    spec = loaded.spec
    kept = (*saved_anchors(spec, folder), *saved_weights(loaded, folder))
    check_same_spec(with_settings(spec, kept), folder.read_spec(), file=folder.spec_file)
    notices = [mended] if mended else []
    if is_restart:
        notices.append("started anew after a process was lost")
    return Start(
        goes_on=True,
        has_checkpoint=bool(folder.checkpoints_newest_first()),
        record=record,
        keys_since=keys_since(folder.read_spec(), spec),
        batch_size=None if launch.resume == "always" and not is_restart else saved_batch_size(folder),
        kept_settings=kept,
        notices=tuple(notices),
    )


def with_saved_settings(loaded: LoadedSpec, start: Start) -> LoadedSpec:
    """The experiment with what was decided when the run in the folder was begun.

    Raises:
        SpecError: A key is asked for that the run was begun without.
    """
    if start.keys_since:
        _refuse_settings_since(loaded, start.keys_since)
        loaded = replace(loaded, spec=as_begun(loaded.spec, start.keys_since))
    return replace(loaded, spec=with_settings(loaded.spec, start.kept_settings))


def _refuse_settings_since(loaded: LoadedSpec, keys: Sequence[str]) -> None:
    """What a run was begun without it cannot get later; a preset may have learned of it meanwhile."""
    problems = [
        f"{source}: {key} is new, and the run was begun without it; leave it away or start a new run"
        for key in keys
        if is_asked_for(source := loaded.sources.get(key, ""))
    ]
    if problems:
        raise SpecError(problems)
