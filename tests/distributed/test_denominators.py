"""Three processes with fewer things to learn than processes have the losses and gradients of one."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.distributed.collectives import mean_over_processes
from hrdet_cli.engine.models.boxes.denominators import denominator
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.semantic_branch import SemanticBranch
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import UNLABELLED, Size
from tests.distributed.process_group import gloo_group, run_processes

NUM_PROCESSES = 3
POSITIVES = {  # of each process's picture, of 4 candidates
    "none": (0, 0, 0),
    "one of all": (0, 1, 0),
    "two of all": (0, 0, 2),
    "one on average": (3, 0, 0),
    "many": (4, 1, 2),
}

LABELLED = {  # rows of each process's label map
    "none": (0, 0, 0),
    "those of one picture": (0, 3, 0),
    "some of each": (2, 8, 5),
}
CANVAS, SIZES = Size(64, 96), torch.tensor([[64, 96], [40, 96], [64, 24]])


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
    return mean_over_processes(loss.detach()), mean_over_processes(gradient)


def semantic_loss_and_gradients(
    pictures: slice, num_labelled: tuple[int, ...], *, hidden_padding: bool
) -> tuple[Tensor, ...]:
    """Likewise, of label maps: pixels count, of the canvas, or of the pictures where padding is hidden."""
    torch.manual_seed(0)
    branch = SemanticBranch(channels=4, strides=(8,), num_labels=5, num_convs=1, loss_weight=0.2).double()
    shape = (NUM_PROCESSES, CANVAS.height // 8, CANVAS.width // 8)
    level = torch.randn(NUM_PROCESSES, 4, *shape[1:], dtype=torch.float64)
    rows = torch.arange(shape[1])[:, None]
    labels = torch.randint(5, shape).where(rows < torch.tensor(num_labelled)[:, None, None], UNLABELLED)
    area = ValidArea.on_canvas(CANVAS, SIZES[pictures]) if hidden_padding else None
    pyramid = Pyramid((level[pictures],), strides=(8,), area=area)
    pyramid = replace(pyramid, semantic=branch(pyramid))
    loss = branch.loss(pyramid, labels[pictures].to(torch.uint8))
    trained = ("laterals.0.weight", "logits.weight", "logits.bias")
    gradients = torch.autograd.grad(loss, [branch.get_parameter(name) for name in trained])
    return tuple(mean_over_processes(value) for value in (loss.detach(), *gradients))


def losses_and_gradients(pictures: slice) -> dict[str, tuple[Tensor, ...]]:
    """In all cases."""
    return {
        **{f"positives: {case}": loss_and_gradient(pictures, counts) for case, counts in POSITIVES.items()},
        **{
            f"labelled: {case}, hidden padding: {hidden}": semantic_loss_and_gradients(
                pictures, counts, hidden_padding=hidden
            )
            for case, counts in LABELLED.items()
            for hidden in (False, True)
        },
    }


def work(rank: int, folder: str) -> None:
    with gloo_group(Path(folder, "store"), rank=rank, size=NUM_PROCESSES):
        torch.save(losses_and_gradients(slice(rank, rank + 1)), Path(folder, f"{rank}.pt"))


@pytest.mark.distributed
def test_losses_and_gradients_of_three_processes_are_those_of_one(tmp_path: Path) -> None:
    run_processes(work, str(tmp_path), size=NUM_PROCESSES)
    wanted = losses_and_gradients(slice(None))
    for rank in range(NUM_PROCESSES):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        for case, expected in wanted.items():
            torch.testing.assert_close(found[case], expected, rtol=1e-12, atol=1e-12, msg=case)
            assert (expected[0] > 0) == ("none" not in case)
