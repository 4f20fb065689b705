"""``hrdet job``: the file that has a scheduler start a run and go on with it."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hrdet_cli.cli.display.console import print_notices
from hrdet_cli.cli.job_options import (
    DEFAULT_RESTARTS,
    DEFAULT_RUNTIME,
    IN_CONTAINERS,
    AcceleratorOption,
    AccountOption,
    ComputeOption,
    CpusOption,
    GpusOption,
    HoursOption,
    ImageOption,
    MeasuredOption,
    MountOption,
    NodesOption,
    PartitionOption,
    RestartsOption,
    RunDirOption,
    RuntimeOption,
    Scheduler,
    SchedulerArgument,
    SetupOption,
    ShmOption,
    SpotOption,
    refuse_without_effect,
)
from hrdet_cli.cli.options import (
    PRESET_PANEL,
    DataPaths,
    PresetOption,
    SetOption,
    SpecOption,
    TrainDataOption,
    ValDataOption,
    data_sets,
)
from hrdet_cli.wording import first_few

if TYPE_CHECKING:
    from hrdet_cli.runs.jobs.mounts import Mount
    from hrdet_cli.specs.experiment import ExperimentSpec


def job(
    scheduler: SchedulerArgument,
    preset: PresetOption = None,
    spec_file: SpecOption = None,
    settings: SetOption = None,
    train_data: TrainDataOption = None,
    val_data: ValDataOption = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="FILE", help="As in hrdet train.", rich_help_panel=PRESET_PANEL),
    ] = None,
    from_scratch: Annotated[
        bool, typer.Option("--from-scratch", help="As in hrdet train.", rich_help_panel=PRESET_PANEL)
    ] = False,
    run_dir: RunDirOption = None,
    nodes: NodesOption = 1,
    gpus_per_node: GpusOption = 1,
    cpus_per_node: CpusOption = None,
    hours: HoursOption = None,
    measured: MeasuredOption = None,
    max_restarts: RestartsOption = None,
    shm_gib: ShmOption = None,
    image: ImageOption = None,
    mounts: MountOption = None,
    setup: SetupOption = None,
    partition: PartitionOption = None,
    account: AccountOption = None,
    accelerator: AcceleratorOption = None,
    spot: SpotOption = False,
    compute: ComputeOption = None,
    runtime: RuntimeOption = None,
) -> None:
    """Print the file that has a scheduler start a run, and go on with it whenever it starts it again."""
    from hrdet_cli.runs.jobs.grace import UNMEASURED, grace_of
    from hrdet_cli.runs.jobs.job import Job
    from hrdet_cli.runs.jobs.mounts import TO_FILL
    from hrdet_cli.runs.jobs.rendering import render_job
    from hrdet_cli.runs.run_folder import RunFolder

    refuse_without_effect(
        scheduler,
        {
            "--hours": hours,
            "--measured": measured,
            "--max-restarts": max_restarts,
            "--shm-gib": shm_gib,
            "--image": image,
            "--mount": mounts,
            "--setup": setup,
            "--partition": partition,
            "--account": account,
            "--accelerator": accelerator,
            "--spot": spot,
            "--compute": compute,
            "--runtime": runtime,
        },
    )
    training = _Training(
        preset, spec_file, tuple(settings or ()), data_sets(train_data), val_data, weights, from_scratch
    )
    spec = training.load()
    is_contained = scheduler in IN_CONTAINERS
    folder = run_dir or (f"/runs/{spec.name}" if is_contained else f"runs/{spec.name}")
    planned = Job(
        title=spec.name,
        command=("hrdet", "train", *training.words(), "--run-dir", folder, "--auto-resume"),
        run_dir=folder,
        num_nodes=nodes,
        gpus_per_node=gpus_per_node,
        cpus_per_node=cpus_per_node or gpus_per_node * (1 + spec.data.num_workers),
        hours=hours,
        max_restarts=DEFAULT_RESTARTS if max_restarts is None else max_restarts,
        grace=UNMEASURED if measured is None else grace_of(RunFolder(measured)),
        shm_gib=shm_gib or (_shared_gibibytes(spec, gpus_per_node) if is_contained else 0),
        image=image or (TO_FILL if is_contained and not setup else None),
        mounts=training.mounted(mounts or (), folder) if is_contained else (),
        setup=tuple(setup or ()),
        partition=partition,
        account=account,
        accelerator=accelerator or (TO_FILL if scheduler is Scheduler.SKYPILOT else ""),
        spot=spot,
        compute=compute or (TO_FILL if scheduler is Scheduler.AZUREML else ""),
        runtime=runtime or DEFAULT_RUNTIME,
    )
    if is_contained:
        print_notices(training.notices(spec))
    if blanks := list(planned.blanks()):
        print_notices([f"the file says {TO_FILL} where only you know: {first_few(blanks, len(blanks))}"])
    typer.echo(render_job(planned, scheduler.value), nl=False)


@dataclass(frozen=True, slots=True)
class _Training:
    """What is trained on what, as the options say it."""

    preset: str | None
    spec_file: Path | None
    settings: tuple[str, ...]
    train_data: Sequence[DataPaths]
    val_data: DataPaths | None
    weights: str | None
    from_scratch: bool

    def load(self) -> "ExperimentSpec":
        """The spec, validated; data and weights may be elsewhere."""
        from hrdet_cli.runs.experiment import data_layers, weights_layers
        from hrdet_cli.specs.loading import load_spec

        layers = data_layers(train=self.train_data, val=self.val_data)
        return load_spec(
            preset=self.preset,
            spec_file=self.spec_file,
            settings=self.settings,
            extra_layers=[*layers, *weights_layers(self.weights)],
            from_scratch=self.from_scratch,
        ).spec

    def notices(self, spec: "ExperimentSpec") -> Iterator[str]:
        """What may be elsewhere in a container."""
        from hrdet_cli.engine.weights.names import is_weights_name
        from hrdet_cli.engine.weights.published.table import published_as

        annotations = spec.data.locate("train").annotations
        if not self.train_data and spec.data.demo is None and not annotations.is_absolute():
            yield (
                f"the spec's data are {annotations}, from the container's working folder on; --train-data "
                "and --val-data name others"
            )
        file = spec.model.weights
        if file is not None and not is_weights_name(file) and not Path(file).is_absolute():
            known = published_as(file)
            cure = f"{known.name} fetches the same" if known and known.name else "FILE names others"
            yield (f"the spec's weights are {file}, from the container's working folder on; --weights {cure}")

    def words(self) -> Iterator[str]:
        """The options of ``hrdet train`` that say the same."""
        if self.preset is not None:
            yield from ("--preset", self.preset)
        if self.spec_file is not None:
            yield from ("--spec", str(self.spec_file))
        for setting in self.settings:
            yield from ("--set", setting)
        for option, paths in self._data():
            yield from (option, *paths)
        if self.weights is not None:
            yield from ("--weights", self.weights)
        if self.from_scratch:
            yield "--from-scratch"

    def mounted(self, mounts: Sequence[str], run_dir: str) -> "tuple[Mount, ...]":
        """What the container has where, with blanks for what the run needs and nothing holds.

        Raises:
            SpecError: A mount is none, or a path is relative.
        """
        from hrdet_cli.engine.weights.names import is_weights_name
        from hrdet_cli.runs.jobs.mounts import Mount, complete_mounts, refuse_relative

        read = [(option, path) for option, paths in self._data() for path in paths]
        read += [("--spec", str(self.spec_file))] if self.spec_file is not None else []
        if self.weights is not None and not is_weights_name(self.weights):
            read.append(("--weights", self.weights))
        refuse_relative([("--run-dir", run_dir), *read])
        parsed = list(map(Mount.parse, mounts))
        return complete_mounts(parsed, run_dir=run_dir, data=[path for _, path in read])

    def _data(self) -> Iterator[tuple[str, list[str]]]:
        for paths in self.train_data:
            yield "--train-data", [path for path in paths if path]
        if self.val_data is not None:
            yield "--val-data", [path for path in self.val_data if path]


def _shared_gibibytes(spec: "ExperimentSpec", gpus_per_node: int) -> int:
    from hrdet_cli.runs.jobs.shared_memory import shared_bytes_per_node

    return math.ceil(shared_bytes_per_node(spec, num_gpus=gpus_per_node) / 2**30)
