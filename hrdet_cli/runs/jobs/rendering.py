"""Files of schedulers, made of templates."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined

from hrdet_cli.runs.jobs.command_line import ShellText, shell_lines
from hrdet_cli.runs.jobs.job import Job, Target
from hrdet_cli.runs.jobs.mounts import Mount

_TEMPLATE = {
    "slurm": "slurm.sh.jinja",
    "kubernetes": "kubernetes.yaml.jinja",
    "kubeflow": "kubeflow.yaml.jinja",
    "skypilot": "skypilot.yaml.jinja",
    "azureml": "azureml.yaml.jinja",
    "ray": "ray.yaml.jinja",
}


def render_job(job: Job, target: Target) -> str:
    """The file for a scheduler."""
    environment = Environment(
        loader=PackageLoader("hrdet_cli.runs.jobs"),
        autoescape=False,  # noqa: S701 - scripts and YAML, whose values are quoted where they stand
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["yaml"] = _quoted
    environment.filters["python"] = _quoted
    text = environment.get_template(_TEMPLATE[target]).render(job=job, azure=_AzurePaths.of(job))
    return f"{text.rstrip()}\n"


def _quoted(value: object) -> str:
    """As JSON, whose texts are those of YAML and of Python too."""
    return json.dumps(str(value), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class _AzurePaths:
    """Azure ML mounts where it likes and tells the command.

    Attributes:
        inputs: Names and mounts of what is read.
        runs: The mount of the run folder.
        lines: The command with Azure's words for the mounted folders, to be folded into one line.
    """

    inputs: Sequence[tuple[str, Mount]]
    runs: Mount
    lines: Sequence[str]

    @classmethod
    def of(cls, job: Job) -> "_AzurePaths | None":
        holding = [mount for mount in job.mounts if mount.holds(job.run_dir)]
        if not holding:
            return None  # no container
        runs = max(holding, key=lambda mount: len(mount.path.parts))
        inputs = [
            (f"data_{number}", mount)
            for number, mount in enumerate((m for m in job.mounts if m is not runs), start=1)
        ]
        names = [("${{outputs.runs}}", runs), *((f"${{{{inputs.{name}}}}}", mount) for name, mount in inputs)]
        names.sort(key=lambda pair: -len(pair[1].path.parts))
        lines = shell_lines([_with_names(word, names) for word in job.command])
        return cls(inputs, runs, [line.removesuffix(" \\") for line in lines])


def _with_names(word: str, names: Sequence[tuple[str, Mount]]) -> str:
    for name, mount in names:
        if word.startswith("/") and mount.holds(word):
            rest = word.removeprefix(str(mount.path)).lstrip("/")
            return ShellText(f'"{name}/{rest}"' if rest else f'"{name}"')
    return word
