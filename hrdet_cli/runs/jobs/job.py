"""What a scheduler's file says of a run."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from hrdet_cli.runs.jobs.command_line import ShellText, shell_lines
from hrdet_cli.runs.jobs.grace import Grace
from hrdet_cli.runs.jobs.mounts import TO_FILL, Mount
from hrdet_cli.version import __version__
from hrdet_cli.wording import counted

Target = Literal["slurm", "kubernetes", "kubeflow", "skypilot", "azureml", "ray"]
"""Who starts the job."""

_LONGEST_NAME = 40
"""Names of pods are made of it, and may have 63 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A run as a scheduler is to start it.

    Attributes:
        title: Name of the experiment.
        command: ``hrdet train`` and all that says what is trained on what, where to; it starts the run and
            goes on with it.
        run_dir: The run folder of the command.
        num_nodes: Machines.
        gpus_per_node: GPUs of each, with a process each.
        cpus_per_node: Cores of each.
        hours: After which the scheduler ends the job; None for its own limit.
        max_restarts: Of the processes, by hrdet's launcher.
        grace: From the signal to the end.
        shm_gib: Shared memory of a node's container.
        image: Of the container; None where there is none.
        mounts: What the container finds where.
        setup: Lines of a shell script before the command.
        partition: Of Slurm; likewise ``account``; None for the cluster's default.
        accelerator: SkyPilot's name of the GPU; empty for others.
        spot: Whether SkyPilot may take machines that can be taken away.
        compute: Name of Azure ML's cluster; empty for others.
        runtime: Name of Kubeflow's training runtime.
    """

    title: str
    command: tuple[str, ...]
    run_dir: str
    num_nodes: int
    gpus_per_node: int
    cpus_per_node: int
    hours: float | None
    max_restarts: int
    grace: Grace
    shm_gib: int
    image: str | None
    mounts: tuple[Mount, ...]
    setup: tuple[str, ...]
    partition: str | None
    account: str | None
    accelerator: str
    spot: bool
    compute: str
    runtime: str

    @property
    def name(self) -> str:
        """The title as Kubernetes allows names: a DNS label that begins with a letter."""
        label = re.sub(r"[^a-z0-9]+", "-", self.title.lower())[:_LONGEST_NAME].strip("-")
        return label if label[:1].isalpha() else f"run-{label}".strip("-")

    @property
    def about(self) -> str:
        """The run in a line, for the file's head."""
        return (
            f"hrdet {__version__}: {' '.join(self.title.split())} on "
            f"{counted(self.num_nodes, 'node')} with {counted(self.gpus_per_node, 'GPU')} each"
        )

    @property
    def seconds(self) -> int | None:
        """The time limit."""
        return None if self.hours is None else round(self.hours * 3600)

    @property
    def clock(self) -> str:
        """The time limit as Slurm writes it, ``HOURS:MINUTES:SECONDS``."""
        minutes, seconds = divmod(self.seconds or 0, 60)
        return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d}"

    def words(self, master: str | None = None, port: str | None = None) -> list[str]:
        """The command as hrdet's launcher is started with it, on every node.

        Args:
            master: What the shell makes the master's address of; None where the scheduler's variables say
                which nodes there are.
            port: Likewise of its port; None for the default.
        """
        words = list(self.command)
        if master is not None and self.num_nodes > 1:
            words += ["--nodes", str(self.num_nodes), "--master-addr", ShellText(master)]
            words += [] if port is None else ["--master-port", ShellText(port)]
        if self.max_restarts:
            words += ["--max-restarts", str(self.max_restarts)]
        return words

    def lines(self, master: str | None = None, port: str | None = None) -> list[str]:
        """`words` as lines of a shell script."""
        return shell_lines(self.words(master, port))

    def holds_run(self, mount: Mount) -> bool:
        """Whether the run folder lies in a mount; everything else is only read."""
        return mount.holds(self.run_dir)

    def blanks(self) -> Iterator[str]:
        """What is still to be filled in, in words."""
        wanted = {"the image": self.image, "the GPU": self.accelerator, "the cluster": self.compute}
        yield from (what for what, value in wanted.items() if value == TO_FILL)
        for mount in self.mounts:
            if mount.source == TO_FILL:
                yield f"what is mounted at {mount.path}"
