"""The kernel of NMS on a GPU against the CPU's operator: the same boxes, and no wait."""

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine import triton_kernels
from hrdet_cli.engine.models.boxes.nms import keep_after_nms
from tests.host_waits import host_waits_are
from tests.needs_gpu import NEEDS_GPU

pytestmark = NEEDS_GPU

CUDA = torch.device("cuda", 0)


def scene(num_boxes: int) -> tuple[Tensor, Tensor]:
    """Boxes of whole numbers, some without area; few different scores, and some that are no candidates."""
    generator = torch.Generator().manual_seed(num_boxes)
    corners = torch.randint(0, 120, (2, num_boxes, 2), generator=generator).float()
    boxes = torch.cat((corners, corners + torch.randint(0, 40, corners.shape, generator=generator)), dim=2)
    scores = torch.randint(0, 50, (2, num_boxes), generator=generator).float()
    return boxes, scores.where(torch.rand(scores.shape, generator=generator) > 0.1, -torch.inf)


@pytest.mark.parametrize("max_iou", [0.3, 0.5, 0.7])
@pytest.mark.parametrize("lengths", [[0], [1], [64], [65], [2000], [130, 0, 65, 64, 1]])
def test_the_same_boxes_survive_as_on_a_cpu(lengths: list[int], max_iou: float) -> None:
    boxes, scores = scene(sum(lengths))
    keep = keep_after_nms(boxes.to(CUDA), scores.to(CUDA), lengths=lengths, max_iou=max_iou)
    assert torch.equal(keep.cpu(), keep_after_nms(boxes, scores, lengths=lengths, max_iou=max_iou))


def test_overlaps_of_just_the_threshold_are_judged_as_on_a_cpu() -> None:
    """The second box of each pair holds the first one and a third more: three quarters."""
    sides = torch.arange(3.0, 303, 3)
    zeros = torch.zeros_like(sides)
    pairs = torch.stack((zeros, zeros, sides, sides, zeros, zeros, sides * 4 / 3, sides), dim=1)
    boxes, scores = pairs.view(-1, 2, 4), torch.tensor([[2.0, 1.0]]).expand(len(pairs), 2)
    for max_iou in (0.75, 0.75 - 1e-9, 0.75 + 1e-9):
        wanted = keep_after_nms(boxes, scores, lengths=[2], max_iou=max_iou)
        keep = keep_after_nms(boxes.to(CUDA), scores.to(CUDA), lengths=[2], max_iou=max_iou)
        assert torch.equal(keep.cpu(), wanted)
        assert wanted[:, 1].any() == (max_iou >= 0.75)


def test_boxes_of_classes_that_lie_across_memory_are_taken_without_a_wait() -> None:
    if (reason := triton_kernels.why_not()) is not None:
        pytest.skip(reason)
    boxes, scores = scene(300)
    boxes, scores = boxes.view(2, 100, 3, 4).transpose(1, 2), scores.view(2, 100, 3).transpose(1, 2)
    on_gpu = boxes.to(CUDA), scores.to(CUDA)
    keep_after_nms(*on_gpu, lengths=[100], max_iou=0.5)  # compiles the kernel
    with host_waits_are("error"):
        keep = keep_after_nms(*on_gpu, lengths=[100], max_iou=0.5)
    assert torch.equal(keep.cpu(), keep_after_nms(boxes, scores, lengths=[100], max_iou=0.5))


def test_float64_is_compared_as_on_a_cpu() -> None:
    boxes, scores = (values.double() for values in scene(200))
    keep = keep_after_nms(boxes.to(CUDA), scores.to(CUDA), lengths=[150, 50], max_iou=0.5)
    assert torch.equal(keep.cpu(), keep_after_nms(boxes, scores, lengths=[150, 50], max_iou=0.5))
