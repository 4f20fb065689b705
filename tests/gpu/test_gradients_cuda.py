"""Gradients that travel by NCCL while the backward pass goes on.

The group has one process, which is told that it has two: sums come back as they were, so means are halves.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.training import gradients
from hrdet_cli.engine.training.gradients import GradientAverager
from tests.host_waits import host_waits_are
from tests.needs_gpu import NEEDS_GPU

pytestmark = NEEDS_GPU

CUDA = torch.device("cuda", 0)


@pytest.fixture
def pretended_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    store = (tmp_path / "store").as_uri()
    dist.init_process_group("cpu:gloo,cuda:nccl", init_method=store, rank=0, world_size=1, device_id=CUDA)
    monkeypatch.setattr(gradients, "current_world", lambda: World(0, 2))
    try:
        yield
    finally:
        dist.destroy_process_group()


@pytest.mark.usefixtures("pretended_pair")
def test_means_are_there_without_a_wait_for_the_device() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(*(nn.Conv2d(8, 8, 3) for _ in range(4)))
    layers.to(CUDA, memory_format=torch.channels_last)  # type: ignore[call-overload]
    pixels = torch.rand(2, 8, 16, 16, device=CUDA)
    expected = torch.autograd.grad(layers(pixels).square().sum(), [*layers.parameters()])
    averager = GradientAverager([*layers.parameters()], bucket_bytes=2000)

    def step() -> None:
        layers.zero_grad()
        with averager.averaged():
            torch.autograd.backward(layers(pixels).square().sum())

    step()  # algorithms are chosen and the group is connected in the first
    with host_waits_are("error"):
        step()

    for parameter, whole in zip(layers.parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert parameter.grad.stride() == parameter.stride()
        tolerance = 1e-4 * whole.abs().max().item()  # convolutions may round to 10 bits, in any order
        torch.testing.assert_close(parameter.grad, whole / 2, rtol=1e-3, atol=tolerance)
