"""Which group a process belongs to, for the environments that launchers make."""

import pytest

from hrdet_cli.engine.distributed.environment import Membership, detect_membership, first_host
from hrdet_cli.errors import GroupError

PORT = 29500

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "node1",
    "MASTER_PORT": "1234",
}
SBATCH_SCRIPT = {
    # What a batch script of 4 nodes with 8 tasks sees: much, but nothing of a step.
    "SLURM_JOB_ID": "200505",
    "SLURM_NTASKS": "8",
    "SLURM_NPROCS": "8",
    "SLURM_TASKS_PER_NODE": "2(x4)",
    "SLURM_NODELIST": "gnode[10,20,25,37]",
    "SLURM_JOB_NODELIST": "gnode[10,20,25,37]",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "0",
}
SRUN = SBATCH_SCRIPT | {
    # Task 5 of a step on three of these nodes.
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NUM_TASKS": "5",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2),1",
    "SLURM_STEP_NODELIST": "gnode[20,25,37]",
    "SLURM_PROCID": "4",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "2",
}
OPENMPI = {
    "OMPI_COMM_WORLD_RANK": "2",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
}
AZURE_MPI = OPENMPI | {"AZ_BATCH_MASTER_NODE": "10.0.0.4:6000", "AZ_BATCHAI_MPI_MASTER_NODE": "10.0.0.9"}
AZURE_PYTORCH = {name: value for name, value in TORCHRUN.items() if name != "LOCAL_WORLD_SIZE"} | {
    "NODE_RANK": "1",
    "AZUREML_NODE_COUNT": "2",
}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (TORCHRUN, (5, 8, 1, 4, "node1", 1234, "torchrun")),
        (SRUN, (4, 5, 0, 1, "gnode20", PORT, "slurm")),
        (SRUN | {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "77"}, (4, 5, 0, 1, "10.0.0.1", 77, "slurm")),
        (
            SRUN | {"SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_NODEID": "1"},
            (3, 5, 1, 2, "gnode20", PORT, "slurm"),
        ),
        (OPENMPI | {"MASTER_ADDR": "node1"}, (2, 4, 0, 2, "node1", PORT, "openmpi")),
        (OPENMPI | {"OMPI_COMM_WORLD_LOCAL_SIZE": "4"}, (2, 4, 0, 4, "127.0.0.1", PORT, "openmpi")),
        (AZURE_MPI, (2, 4, 0, 2, "10.0.0.4", PORT, "azure")),
        (AZURE_MPI | {"AZ_BATCH_MASTER_NODE": ""}, (2, 4, 0, 2, "10.0.0.9", PORT, "azure")),
        (AZURE_MPI | {"MASTER_ADDR": "node1", "MASTER_PORT": "88"}, (2, 4, 0, 2, "node1", 88, "azure")),
        (AZURE_PYTORCH, (5, 8, 1, 4, "node1", 1234, "azure")),
    ],
    ids=[
        "torchrun",
        "srun",
        "srun with a master of its own",
        "srun, middle node",
        "mpirun",
        "mpirun on one node",
        "Azure MPI",
        "Azure Batch AI",
        "Azure MPI with a master of its own",
        "Azure ML's PyTorch job",
    ],
)
def test_a_member_of_a_group_knows_its_place(environ: dict[str, str], expected: tuple[object, ...]) -> None:
    found = detect_membership(environ, default_port=PORT)
    assert found is not None
    names = ("rank", "size", "local_rank", "local_size", "master_address", "master_port", "started_by")
    assert tuple(getattr(found, name) for name in names) == expected


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"MASTER_ADDR": "node1", "MASTER_PORT": "1234", "LOCAL_RANK": "0"},
        SBATCH_SCRIPT,
        SRUN | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"},
        SRUN | {"SLURM_STEP_ID": "4294967290", "SLURM_PTY_PORT": "34889"},
        OPENMPI | {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"},
        SRUN | OPENMPI | {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"},
    ],
    ids=[
        "nothing",
        "only a master",
        "batch script",
        "srun of one task",
        "shell of salloc",
        "mpirun of one",
        "mpirun of one in a step",
    ],
)
def test_a_process_started_alone_is_no_member(environ: dict[str, str]) -> None:
    assert detect_membership(environ, default_port=PORT) is None


def test_one_process_of_torchrun_is_a_group_of_one() -> None:
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1"}
    assert detect_membership(TORCHRUN | alone, default_port=PORT) == Membership(
        rank=0,
        size=1,
        local_rank=0,
        local_size=1,
        master_address="node1",
        master_port=1234,
        started_by="torchrun",
    )


def test_torchrun_inside_a_slurm_step_answers_before_slurm() -> None:
    found = detect_membership(SRUN | TORCHRUN, default_port=PORT)
    assert found is not None
    assert (found.started_by, found.rank) == ("torchrun", 5)


def test_mpirun_inside_a_slurm_step_answers_before_slurm() -> None:
    found = detect_membership(SRUN | OPENMPI | {"MASTER_ADDR": "node1"}, default_port=PORT)
    assert found is not None
    assert (found.started_by, found.rank) == ("openmpi", 2)


USE_TORCHRUN = (
    "; start hrdet with torchrun (torchrun --no-python hrdet ...), which sets all it needs, or unset RANK "
    "and WORLD_SIZE"
)
USE_MPIRUN = "; start hrdet with Open MPI's mpirun, or unset OMPI_COMM_WORLD_SIZE to run this process alone"
USE_SRUN = "; start hrdet with srun, or unset SLURM_STEP_NUM_TASKS to run this process alone"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"RANK": "0"}, "RANK is '0', but WORLD_SIZE is not set" + USE_TORCHRUN),
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE is '2', but LOCAL_WORLD_SIZE is not set" + USE_TORCHRUN),
        (
            # Kubeflow's PyTorchJob counts pods with these two, and sets no others.
            {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "job-master-0", "MASTER_PORT": "23456"},
            "RANK is '1', but LOCAL_WORLD_SIZE is not set" + USE_TORCHRUN,
        ),
        (TORCHRUN | {"RANK": "8"}, "RANK is '8', but WORLD_SIZE is 8, and ranks count from 0" + USE_TORCHRUN),
        (TORCHRUN | {"RANK": "-1"}, "RANK is '-1', which is not a number" + USE_TORCHRUN),
        (TORCHRUN | {"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two', which is not a number" + USE_TORCHRUN),
        (
            TORCHRUN | {"LOCAL_RANK": "4"},
            "LOCAL_RANK is '4', but LOCAL_WORLD_SIZE is 4, and ranks count from 0" + USE_TORCHRUN,
        ),
        (TORCHRUN | {"MASTER_ADDR": ""}, "RANK is '5', but MASTER_ADDR is not set" + USE_TORCHRUN),
        (TORCHRUN | {"MASTER_PORT": "0"}, "MASTER_PORT is '0', but ports go from 1 to 65535" + USE_TORCHRUN),
        (
            AZURE_PYTORCH | {"AZUREML_NODE_COUNT": "3"},
            "AZUREML_NODE_COUNT is '3', which does not divide WORLD_SIZE 8" + USE_TORCHRUN,
        ),
        (
            OPENMPI | {"OMPI_COMM_WORLD_RANK": ""},
            "OMPI_COMM_WORLD_SIZE is '4', but OMPI_COMM_WORLD_RANK is not set" + USE_MPIRUN,
        ),
        (
            SRUN | {"SLURM_STEP_TASKS_PER_NODE": "2(x2"},
            "SLURM_STEP_TASKS_PER_NODE is '2(x2', which is not a list such as 4(x2),1" + USE_SRUN,
        ),
        (
            SRUN | {"SLURM_NODEID": "3"},
            "SLURM_NODEID is '3', but SLURM_STEP_TASKS_PER_NODE is 2(x2),1" + USE_SRUN,
        ),
    ],
)
def test_an_environment_that_contradicts_itself_is_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(GroupError) as raised:
        detect_membership(environ, default_port=PORT)
    assert str(raised.value) == f"the environment variable {message}"


def test_several_nodes_of_mpirun_without_a_master_are_told_what_to_set() -> None:
    with pytest.raises(GroupError) as raised:
        detect_membership(OPENMPI, default_port=PORT)
    assert str(raised.value) == (
        "mpirun started processes on several nodes but does not say where rank 0 is; pass the address of its "
        "node to all of them: mpirun -x MASTER_ADDR=ADDRESS ..."
    )


@pytest.mark.parametrize(
    ("hostlist", "first"),
    [
        ("node1", "node1"),
        ("login1,gpu[1-2]", "login1"),
        ("gpu[003-005,009],login1", "gpu003"),
        ("gpu[9,3-5]", "gpu9"),
        ("r[01-02]n[7-8]-ib,r03n1", "r01n7-ib"),
        ("gpu-a.cluster.org", "gpu-a.cluster.org"),
    ],
)
def test_the_first_host_of_a_list_is_spelled_out(hostlist: str, first: str) -> None:
    assert first_host(hostlist) == first


@pytest.mark.parametrize("hostlist", [",gpu1", "gpu[1-", "gpu[1-2", "gpu[]", "gpu 1", "(null)]"])
def test_what_is_no_host_list_is_refused_with_the_way_round_it(hostlist: str) -> None:
    with pytest.raises(GroupError, match=r"is not a host list of Slurm .* set MASTER_ADDR to the address"):
        first_host(hostlist)
