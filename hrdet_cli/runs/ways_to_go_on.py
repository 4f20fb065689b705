"""How to go on with a run that an error ends, as that error says it."""

from pathlib import Path

from hrdet_cli.runs.training_run import TrainingRun
from hrdet_cli.wording import command


def describe_ways_to_go_on(run: TrainingRun) -> str:
    """What to do where a training picture cannot be read, each command on a line of its own."""
    located = run.data.train.located
    mended = located.source.path.with_name(f"{located.source.path.stem}-mended.json")
    clean = [
        "Without broken ones:",
        command("hrdet", "check-data", *located.source.arguments, "--fix-out", mended),
        _resuming(run, "--train-data", mended, located.images),
    ]
    return "\n".join(
        [
            f"{_can_go_on(run)}. Once the picture is mended:",
            _resuming(run),
            "With others in place of broken ones:",
            _resuming(run, "--set", "data.broken_pictures=skip"),
            *(clean if run.data.train.annotations.set_numbers is None else []),
        ]
    )


def describe_lack(run: TrainingRun) -> str:
    """That memory ran out in a step, though the largest one had fit in before, and how to go on."""
    own = run.spec.data.num_pictures_per_process
    place = run.device if run.device.type == "cuda" else "this machine"
    lines = [
        f"the memory of {place} ran out in step {run.trainer.step + 1}. {_can_go_on(run)}. "
        "Once other programs leave it more:",
        _resuming(run),
    ]
    if own > 1:
        fewer = _resuming(run, "--set", f"data.batch_size_per_process={own // 2}")
        lines += ["With fewer pictures a step:", fewer]
    return "\n".join(lines)


def _can_go_on(run: TrainingRun) -> str:
    processes = " (with the same options for processes)" if run.plan.num_processes > 1 else ""
    return f"The run can go on{processes}"


def _resuming(run: TrainingRun, *more: str | Path) -> str:
    """The command that goes on with a run, changed by further options."""
    return command("hrdet", "train", "--resume", "--run-dir", run.folder.path, *more)
