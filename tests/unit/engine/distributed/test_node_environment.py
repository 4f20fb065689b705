"""Which nodes a command was started on, for the environments that launchers of nodes make."""

from threading import Thread

import pytest
import torch.distributed as dist

from hrdet_cli.engine.distributed.environment import detect_membership
from hrdet_cli.engine.distributed.meeting import Meeting, Place, meet
from hrdet_cli.engine.distributed.node_environment import NodePlace, detect_nodes
from hrdet_cli.errors import GroupError

SKYPILOT = {
    "SKYPILOT_NODE_IPS": "10.0.0.7\n10.0.0.9",
    "SKYPILOT_NODE_RANK": "1",
    "SKYPILOT_NUM_NODES": "2",
    "SKYPILOT_NUM_GPUS_PER_NODE": "8",
}
TRAIN_JOB = {
    "PET_NNODES": "4",
    "PET_NPROC_PER_NODE": "auto",
    "PET_NODE_RANK": "3",
    "PET_MASTER_ADDR": "w18-node-0-0.w18",
    "PET_MASTER_PORT": "29400",
}


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        (
            SKYPILOT,
            NodePlace(num_nodes=2, node_rank=1, master_address="10.0.0.7", master_port=None),
        ),
        (
            TRAIN_JOB,
            NodePlace(num_nodes=4, node_rank=3, master_address="w18-node-0-0.w18", master_port=29400),
        ),
        (SKYPILOT | {"SKYPILOT_NODE_IPS": "10.0.0.7", "SKYPILOT_NODE_RANK": "0"}, None),
        ({"PET_NNODES": "1"}, None),
        ({"SKYPILOT_NODE_RANK": "0"}, None),
    ],
)
def test_a_node_knows_its_place(environ: dict[str, str], expected: NodePlace | None) -> None:
    assert detect_nodes(environ) == expected


USE_OPTIONS = "give --nodes, --master-addr and --node-rank, or unset"


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            SKYPILOT | {"SKYPILOT_NODE_RANK": ""},
            "the environment variable SKYPILOT_NODE_IPS is '10.0.0.7 10.0.0.9', but SKYPILOT_NODE_RANK is "
            f"not set; {USE_OPTIONS} SKYPILOT_NODE_IPS to run on this node alone",
        ),
        (
            SKYPILOT | {"SKYPILOT_NODE_RANK": "2"},
            "the environment variable SKYPILOT_NODE_IPS tells of 2 nodes, but the rank of this one is 2, and "
            f"ranks count from 0; {USE_OPTIONS} SKYPILOT_NODE_IPS to run on this node alone",
        ),
        (
            TRAIN_JOB | {"PET_NNODES": "1:4"},
            "the environment variable PET_NNODES is '1:4', which is not a number; "
            f"{USE_OPTIONS} PET_NNODES to run on this node alone",
        ),
        (
            TRAIN_JOB | {"PET_MASTER_ADDR": ""},
            "the environment variable PET_NNODES is '4', but PET_MASTER_ADDR is not set; "
            f"{USE_OPTIONS} PET_NNODES to run on this node alone",
        ),
    ],
)
def test_variables_that_say_too_little_are_errors(environ: dict[str, str], message: str) -> None:
    with pytest.raises(GroupError) as raised:
        detect_nodes(environ)
    assert str(raised.value) == message


def ray_train(rank: int, port: int) -> dict[str, str]:
    """What a process finds that a worker of Ray Train's TorchTrainer starts."""
    return {
        "RANK": str(rank),
        "WORLD_SIZE": "2",
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": "2",
        "NODE_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "ACCELERATE_TORCH_DEVICE": f"cuda:{rank}",
    }


def test_processes_that_ray_train_started_meet_in_the_store_of_its_first_worker() -> None:
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    store.set("of/ray", "1")
    meetings: dict[int, Meeting] = {}

    def join(rank: int) -> None:
        environ = ray_train(rank, store.port) | {"TORCHELASTIC_USE_AGENT_STORE": "True"}
        membership = detect_membership(environ, default_port=1)
        assert membership is not None
        meetings[rank] = meet(membership, Place("node"), timeout_seconds=20)

    threads = [Thread(target=join, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {rank: meeting.rank for rank, meeting in meetings.items()} == {0: 0, 1: 1}
    assert store.get("of/ray") == b"1"
