"""Compares the Triton kernel with ``torchvision.ops.nms``, in a process that has not imported Triton."""

import os
import sys
import warnings

import numpy as np
import torch
from torch import Tensor

from hrdet_cli.engine.torchvision_operators import nms


def compare(boxes: Tensor, scores: Tensor, *, lengths: list[int], max_iou: float) -> Tensor:
    """Raises an error where the two differ, and returns what is kept."""
    from hrdet_cli.engine.models.boxes.nms_cuda import keep_without_waiting

    keep = keep_without_waiting(boxes, scores, lengths=lengths, max_iou=max_iou)
    if keep.shape != scores.shape or keep.dtype != torch.bool:
        raise AssertionError(f"{keep.shape} {keep.dtype}")
    for own_boxes, own_scores, own_keep in zip(
        boxes.flatten(0, -3), scores.flatten(0, -2), keep.flatten(0, -2), strict=True
    ):
        of_lists = (own_boxes.split(lengths), own_scores.split(lengths), own_keep.split(lengths))
        for list_boxes, list_scores, list_keep in zip(*of_lists, strict=True):
            rows = (list_scores > -torch.inf).nonzero().squeeze(1)
            wanted = rows[nms(list_boxes[rows], list_scores[rows], max_iou)].sort().values
            if not torch.equal(list_keep.nonzero().squeeze(1), wanted):
                raise AssertionError(f"{list_keep.sum()} of {len(list_scores)} kept, not {len(wanted)}")
    return keep


def interpret() -> None:
    """Compare, with warnings as errors. Whether Triton interprets is decided when it is imported."""
    if "triton" in sys.modules:
        raise AssertionError("Triton is imported already")
    os.environ["TRITON_INTERPRET"] = "1"
    warnings.simplefilter("error")
    with np.errstate(invalid="ignore"):  # of two boxes without area that are the same
        compare_all()


def compare_all() -> None:
    generator = torch.Generator().manual_seed(0)

    def random_boxes(*shape: int) -> Tensor:
        corners = torch.rand(*shape, 2, generator=generator) * 200
        return torch.cat((corners, corners + 1 + torch.rand(*shape, 2, generator=generator) * 60), dim=-1)

    # A list of five tiles, and rows that do not count.
    boxes, scores = random_boxes(1, 320), torch.randn(1, 320, generator=generator)
    scores[0, torch.rand(320, generator=generator) < 0.2] = -torch.inf
    keep = compare(boxes, scores, lengths=[320], max_iou=0.2)
    if not 80 < keep.sum() < 180:
        raise AssertionError(f"{keep.sum()} are no test")

    # Lists of several lengths, 0 among them, and one in which no row counts.
    lengths = [130, 0, 65, 64, 1]
    boxes, scores = random_boxes(2, sum(lengths)), torch.randn(2, sum(lengths), generator=generator)
    scores[1, -66:] = -torch.inf
    keep = compare(boxes, scores, lengths=lengths, max_iou=0.3)
    if keep[1, -66:].any():
        raise AssertionError("kept what is no candidate")

    # Many that score the same, and many without area, the same boxes several times, whole numbers.
    few = random_boxes(2, 40).round()
    few[:, ::5, 2] = few[:, ::5, 0]
    boxes, scores = few.repeat(1, 5, 1), torch.randint(0, 4, (2, 200), generator=generator).float()
    compare(boxes, scores, lengths=[200], max_iou=0.5)

    # A chain in which each box suppresses the next one, which then does not suppress the one after it.
    left = torch.arange(150.0) * 3
    chain = torch.stack((left, torch.zeros(150), left + 10, torch.full((150,), 10.0)), dim=-1)
    keep = compare(chain[None], -left[None], lengths=[150], max_iou=0.5)
    if keep[0].tolist() != [row % 2 == 0 for row in range(150)]:
        raise AssertionError("the chain")

    # Pairs whose overlap is the threshold but for rounding; classes as views, as a head's candidates are.
    for max_iou in (0.1, 0.3, 1 / 3, 0.7, 0.9):
        side = 10 + torch.rand(60, 2, generator=generator) * 90
        start = torch.rand(60, 2, generator=generator) * 900
        shift = side * torch.tensor([(1 - max_iou) / (1 + max_iou), 0.0])
        pairs = torch.stack(
            (torch.cat((start, start + side), 1), torch.cat((start + shift, start + side + shift), 1))
        )
        keep = compare(pairs.transpose(0, 1), torch.zeros(60, 2), lengths=[2], max_iou=max_iou)
        if not 0 < keep[:, 1].sum() < 60:
            raise AssertionError(f"all pairs are on one side of {max_iou}")
