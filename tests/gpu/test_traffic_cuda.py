"""Counting what is sent on a GPU, where autograd has a thread of its own for it."""

import torch
import torch.distributed as dist

from hrdet_cli.engine.benchmarking.traffic import Traffic, TrafficCounter
from tests.needs_gpu import NEEDS_GPU
from tests.sent_backward import SentBackward

pytestmark = NEEDS_GPU


def test_a_backward_pass_is_counted_though_it_runs_in_another_thread() -> None:
    torch.cuda.set_device(0)
    dist.init_process_group("nccl", store=dist.HashStore(), rank=0, world_size=1)
    try:
        x = torch.zeros(4, requires_grad=True, device="cuda")
        total = SentBackward.apply(x).sum()
        with TrafficCounter() as counter:
            torch.autograd.grad(total, x)
    finally:
        dist.destroy_process_group()
    assert counter.traffic() == Traffic(1, 16)
