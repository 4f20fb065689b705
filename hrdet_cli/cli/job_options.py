"""Options of ``hrdet job``, and which schedulers' files have a place for them."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

import typer

from hrdet_cli.errors import SpecError
from hrdet_cli.wording import first_few

RESOURCES_PANEL = "What the job gets"
SCHEDULER_PANEL = "What only some schedulers know"
DEFAULT_RESTARTS = 3
DEFAULT_RUNTIME = "torch-distributed"


class Scheduler(StrEnum):
    """Who starts the job."""

    SLURM = "slurm"
    KUBERNETES = "kubernetes"
    KUBEFLOW = "kubeflow"
    SKYPILOT = "skypilot"
    AZUREML = "azureml"
    RAY = "ray"


_ALL = frozenset(Scheduler)
IN_CONTAINERS = _ALL - {Scheduler.SLURM}
_KNOWN_TO: Mapping[str, frozenset[Scheduler]] = MappingProxyType(
    {
        "--hours": _ALL - {Scheduler.SKYPILOT},
        "--measured": frozenset({Scheduler.SLURM, Scheduler.KUBERNETES, Scheduler.KUBEFLOW}),
        "--max-restarts": _ALL - {Scheduler.AZUREML},
        "--shm-gib": IN_CONTAINERS - {Scheduler.SKYPILOT},
        "--image": IN_CONTAINERS,
        "--mount": IN_CONTAINERS,
        "--setup": frozenset({Scheduler.SLURM, Scheduler.SKYPILOT}),
        "--partition": frozenset({Scheduler.SLURM}),
        "--account": frozenset({Scheduler.SLURM}),
        "--accelerator": frozenset({Scheduler.SKYPILOT}),
        "--spot": frozenset({Scheduler.SKYPILOT}),
        "--compute": frozenset({Scheduler.AZUREML}),
        "--runtime": frozenset({Scheduler.KUBEFLOW}),
    }
)
"""The schedulers whose files have a place for an option; all other options are for every one."""


def refuse_without_effect(scheduler: Scheduler, given: Mapping[str, object]) -> None:
    """An option that would change nothing in the file is a mistake.

    Args:
        scheduler: Whose file it is.
        given: Values by option; None, False and empty lists where none was given.

    Raises:
        SpecError: With every such option.
    """
    problems = list(_without_effect(scheduler, given))
    if problems:
        raise SpecError(problems)


def _without_effect(scheduler: Scheduler, given: Mapping[str, object]) -> Iterator[str]:
    for option, value in given.items():
        known_to = _KNOWN_TO[option]
        if value not in (None, False, []) and scheduler not in known_to:
            names = first_few([name.value for name in Scheduler if name in known_to], len(Scheduler))
            yield f"{option}: a file for {scheduler} has no place for it, only for {names}; leave it away"


SchedulerArgument = Annotated[
    Scheduler, typer.Argument(help="Who starts it: kubernetes by an Indexed Job, kubeflow by a TrainJob.")
]
RunDirOption = Annotated[
    str | None,
    typer.Option(
        "--run-dir", metavar="DIR", help="Where the run goes; default runs/NAME, in containers /runs/NAME."
    ),
]
NodesOption = Annotated[
    int, typer.Option("--nodes", min=1, help="Machines.", rich_help_panel=RESOURCES_PANEL)
]
GpusOption = Annotated[
    int, typer.Option("--gpus-per-node", min=1, help="Of each machine.", rich_help_panel=RESOURCES_PANEL)
]
CpusOption = Annotated[
    int | None,
    typer.Option(
        "--cpus-per-node",
        min=1,
        help="Cores of each; default one for each process and one for each of its data workers.",
        rich_help_panel=RESOURCES_PANEL,
    ),
]
HoursOption = Annotated[
    float | None,
    typer.Option("--hours", min=0.01, help="Time limit of the job.", rich_help_panel=RESOURCES_PANEL),
]
MeasuredOption = Annotated[
    Path | None,
    typer.Option(
        "--measured",
        metavar="RUN",
        readable=False,
        help="A run like this one: its slowest step and checkpoint say how long saving may take.",
        rich_help_panel=RESOURCES_PANEL,
    ),
]
RestartsOption = Annotated[
    int | None,
    typer.Option(
        "--max-restarts",
        min=0,
        help=f"How often to go on after something was lost; default {DEFAULT_RESTARTS}.",
        rich_help_panel=RESOURCES_PANEL,
    ),
]
ShmOption = Annotated[
    int | None,
    typer.Option(
        "--shm-gib",
        min=1,
        help="Shared memory of each machine; default what its data workers need.",
        rich_help_panel=RESOURCES_PANEL,
    ),
]
ImageOption = Annotated[
    str | None,
    typer.Option("--image", help="Of the container; hrdet is in it.", rich_help_panel=SCHEDULER_PANEL),
]
MountOption = Annotated[
    list[str] | None,
    typer.Option(
        "--mount",
        metavar="SOURCE:PATH",
        help="Storage (a claim, a bucket, a datastore's address) and where the container has it; repeatable.",
        rich_help_panel=SCHEDULER_PANEL,
    ),
]
SetupOption = Annotated[
    list[str] | None,
    typer.Option(
        "--setup",
        metavar="LINE",
        help="slurm, skypilot: a line of the shell before the run; repeatable.",
        rich_help_panel=SCHEDULER_PANEL,
    ),
]
PartitionOption = Annotated[
    str | None,
    typer.Option("--partition", help="slurm: default the cluster's.", rich_help_panel=SCHEDULER_PANEL),
]
AccountOption = Annotated[
    str | None, typer.Option("--account", help="slurm: who pays.", rich_help_panel=SCHEDULER_PANEL)
]
AcceleratorOption = Annotated[
    str | None,
    typer.Option(
        "--accelerator",
        help="skypilot: its name of the GPU, such as H100.",
        rich_help_panel=SCHEDULER_PANEL,
    ),
]
SpotOption = Annotated[
    bool,
    typer.Option(
        "--spot", help="skypilot: machines that may be taken away.", rich_help_panel=SCHEDULER_PANEL
    ),
]
ComputeOption = Annotated[
    str | None,
    typer.Option("--compute", help="azureml: name of the cluster.", rich_help_panel=SCHEDULER_PANEL),
]
RuntimeOption = Annotated[
    str | None,
    typer.Option(
        "--runtime",
        help=f"kubeflow: the training runtime; default {DEFAULT_RUNTIME}.",
        rich_help_panel=SCHEDULER_PANEL,
    ),
]
