"""The run folder that the options of a training name, and the spec in it."""

from collections.abc import Sequence
from pathlib import Path

from hrdet_cli.cli.display.console import print_notices
from hrdet_cli.cli.display.work import load_torch
from hrdet_cli.cli.membership import waits_for_others
from hrdet_cli.cli.process_options import ProcessOptions
from hrdet_cli.errors import OutputError, SpecError
from hrdet_cli.wording import command, shortened


def named_run_folder(
    run: Path | None, run_dir: Path | None, *, resumes: bool, lone_sources: Sequence[str]
) -> Path | None:
    """The run folder that the options name; a word without an option can only be one to go on with.

    Args:
        run: The word.
        run_dir: What ``--run-dir`` names.
        resumes: Whether a run is to go on.
        lone_sources: Data that were given without pictures.

    Raises:
        SpecError: It is something else.
    """
    if run is None:
        return run_dir
    if resumes and run.is_file() and run.parent.name == "checkpoints":
        folder = run.parent.parent
        raise SpecError(
            [f"{run}: is a checkpoint; its run goes on with: {command('hrdet', 'train', '--resume', folder)}"]
        )
    if resumes and run_dir in (None, run):
        return run
    if resumes:
        raise SpecError([f"{run}: --run-dir is {run_dir}; name one run to go on with"])
    raise SpecError(
        [f"hrdet train takes no {shortened(str(run))} without an option; {_meant_by(run, lone_sources)}"]
    )


def _meant_by(word: Path, lone_sources: Sequence[str]) -> str:
    from hrdet_cli.specs.presets import all_presets

    if str(word) in all_presets():
        return f"write {command('--preset', word)}"
    if word.suffix in (".yaml", ".yml"):
        return f"write {command('--spec', word)}"
    if lone_sources and (word.is_dir() or word.suffix.lower() == ".zip"):
        return f"{lone_sources[0]} says itself where its pictures are: leave {word} away"
    if word.is_dir():
        return f"to go on with a run, write {command('--resume', '--run-dir', word)}"
    if "=" in str(word):
        return f"write {command('--set', word)}"
    return "give data with --train-data JSON IMAGES, a preset with --preset NAME, a spec with --spec FILE"


def saved_spec(run_dir: Path | None, processes: ProcessOptions) -> Path:
    """The spec file of the run to go on with, mended where it is damaged.

    Raises:
        SpecError: No run is named.
        OutputError: Its spec cannot be read.
    """
    if run_dir is None:
        raise SpecError(
            ["give --run-dir DIR, the folder of the run to go on with, or --preset NAME or --spec FILE"]
        )
    from hrdet_cli.runs.run_folder import RunFolder

    folder = RunFolder(run_dir)
    try:
        folder.require()
        load_torch()
        from hrdet_cli.runs.resume import mend_spec

        mended = mend_spec(folder)
    except OutputError as error:
        if not waits_for_others(processes):
            raise
        raise OutputError(
            f"{error}. A node that does not share the first one's disk cannot read the run's spec there: "
            "give the run's --preset or --spec, data and --set beside --resume"
        ) from error
    print_notices([mended] if mended else [])
    return folder.spec_file
