from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from hrdet_cli.engine.distributed import collectives
from hrdet_cli.engine.distributed.activity import ACTIVITY, enter_phase, exchanging
from hrdet_cli.engine.distributed.collectives import add_over_processes
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.errors import LostProcessError


@pytest.fixture
def _two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collectives, "current_world", lambda: World(0, 2))


def doubled(tensor: Tensor) -> Tensor:
    total = tensor * 1
    add_over_processes(total, what="batch-norm statistics")
    return total


def test_of_what_nccl_says_the_point_is_told() -> None:
    point = "Duplicate GPU detected : rank 0 and rank 1 both on CUDA device 1000"
    words = (
        "NCCL error in: ../torch/csrc/distributed/c10d/NCCLUtils.cpp:94, invalid usage (run with "
        "NCCL_DEBUG=WARN for details), NCCL version 2.29.7\nncclInvalidUsage: This usually reflects invalid "
        f"usage of NCCL library.\nLast error:\n{point}"
    )
    enter_phase("start")
    with pytest.raises(LostProcessError) as lost, exchanging("sum"):
        raise RuntimeError(words)
    assert str(lost.value) == f"the sum failed in start: NCCL: {point}"


@pytest.mark.usefixtures("_two_processes")
@pytest.mark.parametrize("is_compiled", [False, True], ids=["eager", "compiled"])
def test_a_sum_is_counted_and_a_lost_process_told_inside_a_graph_too(
    monkeypatch: pytest.MonkeyPatch, is_compiled: bool
) -> None:
    def all_reduce(tensor: Tensor, *_: Any) -> None:
        if tensor.isnan().any():
            raise RuntimeError("Connection closed by peer [127.0.0.1]:4711")
        tensor.mul_(2)

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    enter_phase("step 12")
    run = torch.compile(doubled, fullgraph=True, backend="aot_eager") if is_compiled else doubled
    before = ACTIVITY.num_collectives

    assert run(torch.tensor([1.0, 3.0])).tolist() == [2, 6]
    assert ACTIVITY.num_collectives == before + 1
    with pytest.raises(
        LostProcessError, match=r"^the batch-norm statistics failed in step 12: Connection closed by peer"
    ):
        run(torch.tensor([1.0, torch.nan]))
