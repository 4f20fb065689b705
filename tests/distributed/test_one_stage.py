"""Two processes with a picture each train dense heads as one process with both does."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.distributed.activity import ACTIVITY
from hrdet_cli.engine.distributed.collectives import mean_over_processes
from hrdet_cli.engine.models.dense.fcos import FcosHead
from hrdet_cli.engine.models.dense.retina import RetinaHead
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.norm.convert import convert_norm
from hrdet_cli.engine.structures import ImageBatch, Targets
from tests.dense_heads import make_batch, make_fcos_head, make_lively, make_retina_head, random_pyramid
from tests.distributed.process_group import gloo_group, run_processes

NUM_BOXES = {"many": (3, 2), "none in one": (0, 4), "none": (0, 0)}
KINDS = ("retinanet", "retinanet, by picture", "fcos")


def make_head(kind: str) -> RetinaHead | FcosHead:
    """With synchronised norms."""
    head: RetinaHead | FcosHead
    if kind == "fcos":
        head = make_fcos_head(norm="batch")
    else:
        head = make_retina_head(norm="batch", averaging="picture" if "picture" in kind else "batch")
    make_lively(head)
    convert_norm(head, kind="sync")
    return head.double()


def rows_of(pictures: slice, num_boxes: tuple[int, int]) -> tuple[Pyramid, ImageBatch, Targets]:
    whole, (images, targets) = random_pyramid(torch.float64), make_batch(num_boxes)
    return (
        Pyramid(tuple(level[pictures] for level in whole.levels), whole.strides),
        ImageBatch(images.pixels[pictures], images.sizes[pictures], images.keys[pictures]),
        Targets(targets.boxes[pictures], targets.labels[pictures], targets.is_valid[pictures]),
    )


def only_box_of_one_point() -> Targets:
    """A box around (4, 4), the middle of the first cell, and no other."""
    boxes = torch.zeros(2, 1, 4)
    boxes[1, 0] = torch.tensor([1.0, 2.0, 7.5, 7.0])
    is_valid = torch.tensor([[False], [True]])
    return Targets(boxes=boxes, labels=torch.zeros(2, 1).long(), is_valid=is_valid)


def outcome(kind: str, pyramid: Pyramid, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
    """The means over the processes, as the training loop makes them, and running statistics."""
    head = make_head(kind)
    losses = head.losses(pyramid, images, targets)
    torch.autograd.backward(torch.stack([*losses.values()]).sum())
    gradients = {name: parameter.grad for name, parameter in head.named_parameters()}
    given = {name: gradient for name, gradient in gradients.items() if gradient is not None}
    assert given.keys() == gradients.keys()
    local = {name: loss.detach() for name, loss in losses.items()} | given
    means = {name: mean_over_processes(value) for name, value in local.items()}
    return means | dict(head.named_buffers())


def outcomes(pictures: slice) -> dict[str, dict[str, Tensor]]:
    found = {
        f"{kind}, {name}": outcome(kind, *rows_of(pictures, counts))
        for kind in KINDS
        for name, counts in NUM_BOXES.items()
    }
    pyramid, images, _ = rows_of(pictures, (0, 0))
    single = only_box_of_one_point()
    targets = Targets(single.boxes[pictures], single.labels[pictures], single.is_valid[pictures])
    return {**found, "fcos, one point": outcome("fcos", pyramid, images, targets)}


def work(rank: int, folder: str) -> None:
    with gloo_group(Path(folder, "store"), rank=rank, size=2):
        found = outcomes(slice(rank, rank + 1))
        head = make_head("retinanet")
        before = ACTIVITY.num_collectives
        head(rows_of(slice(rank, rank + 1), (0, 0))[0])
        torch.save((found, ACTIVITY.num_collectives - before), Path(folder, f"{rank}.pt"))


@pytest.mark.distributed
def test_losses_gradients_and_statistics_of_two_processes_are_those_of_one(tmp_path: Path) -> None:
    run_processes(work, str(tmp_path), size=2)
    expected = outcomes(slice(None))
    assert expected["fcos, one point"]["fcos_box"] > 0
    for rank in range(2):
        found, num_messages = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found.keys() == expected.keys()
        for name, tensors in expected.items():
            torch.testing.assert_close(found[name], tensors, rtol=1e-9, atol=1e-9, msg=name)
        # Norms of the same depth share a message: those of both towers and of all levels.
        assert num_messages == sum(
            isinstance(m, nn.BatchNorm2d) for m in make_head("fcos").class_convs.modules()
        )
