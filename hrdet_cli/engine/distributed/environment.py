"""Which group this process was started into, read from the variables that launchers set.

Sources of the variables' meaning:

* torchrun: https://docs.pytorch.org/docs/stable/elastic/run.html, "Environment Variables".
* Slurm: ``srun`` manual, "OUTPUT ENVIRONMENT VARIABLES"; ``setup_env`` and ``env_array_for_step`` in Slurm's
  ``src/common/env.c``; special step numbers in ``slurm/slurm.h``.
* Open MPI: https://docs.open-mpi.org/en/v5.0.x/tuning-apps/environment-var.html
* Azure: https://learn.microsoft.com/azure/machine-learning/how-to-train-distributed-gpu and Azure Batch's
  "Compute node environment variables".
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from hrdet_cli.errors import GroupError

Launcher = Literal["torchrun", "slurm", "openmpi", "azure"]

DEFAULT_PORT = 29500
"""Where processes meet if nobody names a port; torch's."""
DEFAULT_TIMEOUT_SECONDS = 600.0
"""For processes to come, and for one exchange between them."""

LAST_STEP_NUMBER = 0xFFFFFFF0
"""Slurm numbers the steps of ``srun`` from 0 to this; beyond are batch scripts and interactive shells."""


_SIGNS = ("RANK", "WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "SLURM_STEP_NUM_TASKS")
"""Variables that tell of a launcher; a process that has none of them was started alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Membership:
    """This process's place in a group that somebody else started.

    Attributes:
        rank: 0 .. size - 1, over all nodes.
        size: Number of processes over all nodes.
        local_rank: 0 .. local_size - 1, on this node.
        local_size: Number of processes on this node.
        master_address: Name or address of the node with rank 0.
        master_port: TCP port of the rendezvous on that node.
        started_by: Who started the processes.
        launcher_has_store: The launcher itself holds a store at the master's address and port.
        num_restarts: How often the launcher has started the processes anew.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int
    master_address: str
    master_port: int
    started_by: Launcher
    launcher_has_store: bool = False
    num_restarts: int = 0


def detect_membership(environ: Mapping[str, str], *, default_port: int) -> Membership | None:
    """The group that this process was started into; None for a process that was started alone.

    The innermost launcher answers: torchrun may run inside a Slurm step, and Open MPI starts its own daemons
    with ``srun``, so that its processes see the variables of the daemons' step.  A process that Slurm or Open
    MPI started without others is alone; that of torchrun is a group of one: it is a worker, not a launcher.

    Args:
        environ: The environment variables.
        default_port: The port where the launcher names none (``MASTER_PORT``).

    Raises:
        GroupError: The variables are incomplete or contradict each other, or do not say where the master is.
    """
    if environ.get("RANK") or environ.get("WORLD_SIZE"):
        return _started_by_torchrun(environ)
    if num_tasks := environ.get("OMPI_COMM_WORLD_SIZE"):
        return None if num_tasks == "1" else _started_by_mpi(environ, default_port)
    if _is_step_of_several_tasks(environ):
        return _started_by_slurm(environ, default_port)
    return None


def signs_of_launchers(environ: Mapping[str, str]) -> list[str]:
    """The variables without which this process would be one that was started alone."""
    return [name for name in _SIGNS if environ.get(name)]


@dataclass(frozen=True, slots=True)
class _Variables:
    """The variables of one launcher.

    Attributes:
        environ: All variables.
        shown_by: The variable that told that it was this launcher.
        remedy: What all errors about its variables end in.
    """

    environ: Mapping[str, str]
    shown_by: str
    remedy: str

    def text(self, name: str) -> str:
        value = self.environ.get(name, "").strip()
        if not value:
            raise self.wrong(self.shown_by, f"but {name} is not set")
        return value

    def number(self, name: str) -> int:
        value = self.text(name)
        if not (value.isascii() and value.isdigit()):
            raise self.wrong(name, "which is not a number")
        return int(value)

    def rank(self, name: str, *, size: int, size_name: str) -> int:
        rank = self.number(name)
        if rank >= size:
            raise self.wrong(name, f"but {size_name} is {size}, and ranks count from 0")
        return rank

    def port(self, *, default: int | None) -> int:
        if default is not None and not self.environ.get("MASTER_PORT"):
            return default
        port = self.number("MASTER_PORT")
        if not 1 <= port <= 65535:
            raise self.wrong("MASTER_PORT", "but ports go from 1 to 65535")
        return port

    def wrong(self, name: str, what: str) -> GroupError:
        value = self.environ.get(name, "")
        return GroupError(f"the environment variable {name} is '{value}', {what}; {self.remedy}")


def _started_by_torchrun(environ: Mapping[str, str]) -> Membership:
    variables = _Variables(
        environ,
        shown_by="RANK" if environ.get("RANK") else "WORLD_SIZE",
        remedy="start hrdet with torchrun (torchrun --no-python hrdet ...), which sets all it needs, or "
        "unset RANK and WORLD_SIZE",
    )
    size = variables.number("WORLD_SIZE")
    # Azure ML's PyTorch jobs set what torchrun sets, apart from the number of processes on a node.
    by_azure = "LOCAL_WORLD_SIZE" not in environ and "AZUREML_NODE_COUNT" in environ
    local_size_name = "WORLD_SIZE / AZUREML_NODE_COUNT" if by_azure else "LOCAL_WORLD_SIZE"
    local_size = _processes_per_azure_node(variables) if by_azure else variables.number("LOCAL_WORLD_SIZE")
    return Membership(
        rank=variables.rank("RANK", size=size, size_name="WORLD_SIZE"),
        size=size,
        local_rank=variables.rank("LOCAL_RANK", size=local_size, size_name=local_size_name),
        local_size=local_size,
        master_address=variables.text("MASTER_ADDR"),
        master_port=variables.port(default=None),
        started_by="azure" if by_azure else "torchrun",
        launcher_has_store=environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True",
        num_restarts=int(environ.get("TORCHELASTIC_RESTART_COUNT", "0")),
    )


def _processes_per_azure_node(variables: _Variables) -> int:
    size, num_nodes = variables.number("WORLD_SIZE"), variables.number("AZUREML_NODE_COUNT")
    if num_nodes == 0 or size % num_nodes:
        raise variables.wrong("AZUREML_NODE_COUNT", f"which does not divide WORLD_SIZE {size}")
    return size // num_nodes


def _started_by_mpi(environ: Mapping[str, str], default_port: int) -> Membership:
    variables = _Variables(
        environ,
        shown_by="OMPI_COMM_WORLD_SIZE",
        remedy="start hrdet with Open MPI's mpirun, or unset OMPI_COMM_WORLD_SIZE to run this process alone",
    )
    size = variables.number("OMPI_COMM_WORLD_SIZE")
    local_size = variables.number("OMPI_COMM_WORLD_LOCAL_SIZE")
    by_azure = any(name.startswith(("AZ_BATCH", "AZUREML_")) for name in environ)
    return Membership(
        rank=variables.rank("OMPI_COMM_WORLD_RANK", size=size, size_name="OMPI_COMM_WORLD_SIZE"),
        size=size,
        local_rank=variables.rank(
            "OMPI_COMM_WORLD_LOCAL_RANK", size=local_size, size_name="OMPI_COMM_WORLD_LOCAL_SIZE"
        ),
        local_size=local_size,
        master_address=_mpi_master(environ, on_one_node=local_size == size),
        master_port=variables.port(default=default_port),
        started_by="azure" if by_azure else "openmpi",
    )


def _mpi_master(environ: Mapping[str, str], *, on_one_node: bool) -> str:
    if master := environ.get("MASTER_ADDR"):
        return master
    if on_one_node:
        return "127.0.0.1"
    if master := environ.get("AZ_BATCH_MASTER_NODE"):
        # "10.0.0.4:6000": the port belongs to the batch service, so only the address is of use.
        return master.rpartition(":")[0] or master
    if master := environ.get("AZ_BATCHAI_MPI_MASTER_NODE"):
        return master
    raise GroupError(
        "mpirun started processes on several nodes but does not say where rank 0 is; pass the address of its "
        "node to all of them: mpirun -x MASTER_ADDR=ADDRESS ..."
    )


def _is_step_of_several_tasks(environ: Mapping[str, str]) -> bool:
    """Whether ``srun`` started this process together with others.

    Only the ``SLURM_STEP_`` variables tell.  ``SLURM_NTASKS`` and ``SLURM_PROCID`` are also set in a batch
    script and in the shell of ``salloc``, which on newer clusters is itself a step with a special number.
    """
    if (environ.get("SLURM_STEP_NUM_TASKS") or "1") == "1":
        return False
    return _slurm_variables(environ).number("SLURM_STEP_ID") <= LAST_STEP_NUMBER


def _slurm_variables(environ: Mapping[str, str]) -> _Variables:
    return _Variables(
        environ,
        shown_by="SLURM_STEP_NUM_TASKS",
        remedy="start hrdet with srun, or unset SLURM_STEP_NUM_TASKS to run this process alone",
    )


def _started_by_slurm(environ: Mapping[str, str], default_port: int) -> Membership:
    variables = _slurm_variables(environ)
    size, local_size = variables.number("SLURM_STEP_NUM_TASKS"), _tasks_on_this_node(variables)
    return Membership(
        rank=variables.rank("SLURM_PROCID", size=size, size_name="SLURM_STEP_NUM_TASKS"),
        size=size,
        local_rank=variables.rank(
            "SLURM_LOCALID", size=local_size, size_name="this node's count in SLURM_STEP_TASKS_PER_NODE"
        ),
        local_size=local_size,
        master_address=environ.get("MASTER_ADDR") or first_host(variables.text("SLURM_STEP_NODELIST")),
        master_port=variables.port(default=default_port),
        started_by="slurm",
    )


def _tasks_on_this_node(variables: _Variables) -> int:
    """The entry of this node in a list such as ``4(x2),1``: nodes 0 and 1 have four tasks, node 2 has one."""
    name = "SLURM_STEP_TASKS_PER_NODE"
    groups = [re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", group) for group in variables.text(name).split(",")]
    if not all(groups):
        raise variables.wrong(name, "which is not a list such as 4(x2),1")
    tasks = [int(group[1]) for group in groups if group for _ in range(int(group[2] or 1))]
    node = variables.number("SLURM_NODEID")
    if node >= len(tasks):
        raise variables.wrong("SLURM_NODEID", f"but {name} is {variables.text(name)}")
    return tasks[node]


def first_host(hostlist: str) -> str:
    """The first name of a Slurm host list.

    Args:
        hostlist: Names separated by commas, ranges in brackets: ``gpu[003-005,007],login1`` is gpu003,
            gpu004, gpu005, gpu007, login1; ``r[1-2]n[1-2]`` is r1n1, r1n2, r2n1, r2n2.

    Raises:
        GroupError: It is not a host list.
    """
    first = re.match(r"(?:[^\s,\[\]]|\[\d+(?:[-,]\d+)*\])+(?=,|$)", hostlist)
    if first is None:
        raise GroupError(
            f"'{hostlist}' is not a host list of Slurm (SLURM_STEP_NODELIST); set MASTER_ADDR to the address "
            "of the node with rank 0"
        )
    return re.sub(r"\[(\d+)[^\]]*\]", r"\1", first[0])
