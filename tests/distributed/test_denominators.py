"""Three processes with fewer things to learn than processes have the losses and gradients of one."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.multiprocessing.spawn import spawn

from hrdet_cli.engine.distributed.collectives import average_over_processes, mean_over_processes
from hrdet_cli.engine.models.boxes.losses import BoxLoss, denominator
from tests.distributed.process_group import gloo_group

NUM_PROCESSES = 3
POSITIVES = {  # of each process's picture, of 4 candidates
    "none": (0, 0, 0),
    "one of all": (0, 1, 0),
    "two of all": (0, 0, 2),
    "one on average": (3, 0, 0),
    "many": (4, 1, 2),
}


def loss_and_gradient(pictures: slice, num_positives: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Of some of the pictures; the mean over the processes, as the training loop makes it."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(NUM_PROCESSES, 4, 5, generator=generator, dtype=torch.float64)
    wanted = torch.randn(NUM_PROCESSES, 4, 4, generator=generator, dtype=torch.float64)
    weights = torch.randn(5, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    is_positive = torch.arange(4) < torch.tensor(num_positives)[:, None]
    deltas = features[pictures] @ weights
    total = BoxLoss(kind="smooth_l1", beta=0.5)(deltas, wanted[pictures], is_positive[pictures])
    loss = total / denominator(is_positive[pictures].sum(dtype=total.dtype), what="number of positives")
    (gradient,) = torch.autograd.grad(loss, weights)
    average_over_processes([gradient])
    return mean_over_processes(loss.detach()), gradient


def work(rank: int, folder: str) -> None:
    with gloo_group(Path(folder, "store"), rank=rank, size=NUM_PROCESSES):
        found = {name: loss_and_gradient(slice(rank, rank + 1), counts) for name, counts in POSITIVES.items()}
        torch.save(found, Path(folder, f"{rank}.pt"))


@pytest.mark.distributed
def test_losses_and_gradients_of_three_processes_are_those_of_one(tmp_path: Path) -> None:
    spawn(work, args=(str(tmp_path),), nprocs=NUM_PROCESSES)  # type: ignore[no-untyped-call]
    for rank in range(NUM_PROCESSES):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for name, counts in POSITIVES.items():
            expected = loss_and_gradient(slice(None), counts)
            torch.testing.assert_close(found[name], expected, rtol=1e-12, atol=1e-12, msg=name)
            assert (expected[0] > 0) == (sum(counts) > 0)
