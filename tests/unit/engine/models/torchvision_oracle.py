"""What comparisons of whole detectors with torchvision's share: a batch for both, and what must be equal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import Detections, ImageBatch, Size, Targets

NUM_ROWS = 8
"""Of ground truth in a batch."""


def untrained(size: Size) -> dict[str, Any]:
    """Arguments of torchvision's builders for a network with random weights.

    It takes pictures of one size that are normalised already: to normalise them in another order rounds
    otherwise, and 50 random layers make 1 % of 1e-7.
    """
    return {
        "weights": None,
        "weights_backbone": None,
        "min_size": size.height,
        "max_size": size.width,
        "image_mean": [0.0, 0.0, 0.0],
        "image_std": [1.0, 1.0, 1.0],
    }


def batch_norms(model: nn.Module) -> Iterator[nn.BatchNorm2d]:
    """All of a network."""
    return (module for module in model.modules() if isinstance(module, nn.BatchNorm2d))


def keep_last_statistics(model: nn.Module) -> None:
    """After one training step, evaluation normalises with the statistics of its batch."""
    for norm in batch_norms(model):
        norm.momentum = 1.0


def trunk_from_theirs(ours: Detector, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors (weights or gradients) of backbone and neck under our names, those that there are."""
    names = {f"backbone.{name}": f"backbone.body.{name}" for name in ours.backbone.state_dict()}
    names |= {f"neck.{name}": name.replace("pyramid.", "backbone.fpn.") for name in ours.neck.state_dict()}
    return {our_name: tensors[name] for our_name, name in names.items() if name in tensors}


@dataclass(frozen=True)
class SharedBatch:
    """Two pictures and their ground truth, as ours and as theirs take them.

    Attributes:
        images: ``(2, 3, H, W)``.
        targets: With `NUM_ROWS` rows; labels from 0.
        their_targets: The same without padding, for each picture.
    """

    images: ImageBatch
    targets: Targets
    their_targets: list[dict[str, Tensor]]


def make_batch(
    size: Size,
    boxes: Sequence[Sequence[int]],
    *,
    num_boxes: Sequence[int],
    shifts: tuple[float, float],
    num_classes: int,
    keys: Tensor,
    dtype: torch.dtype,
    first_label: int = 0,
    masks: Tensor | None = None,
) -> SharedBatch:
    """Draw two pictures with boxes in them.

    Args:
        size: Of both pictures.
        boxes: Corners in pixels, at most `NUM_ROWS`.
        num_boxes: How many of them each picture has.
        shifts: What is added to all corners in each picture.
        num_classes: Number of labels.
        keys: Of the pictures.
        dtype: Of their boxes.
        first_label: Theirs of our label 0.
        masks: ``(2, NUM_ROWS, H, W)`` of the boxes.
    """
    height_width = (size.height, size.width)
    pixels = torch.randint(0, 256, (2, 3, *height_width), dtype=torch.uint8)
    is_valid = torch.arange(NUM_ROWS) < torch.tensor(num_boxes)[:, None]
    padded = torch.zeros(2, NUM_ROWS, 4)
    padded[:, : len(boxes)] = torch.tensor(boxes) + torch.tensor(shifts)[:, None, None]
    padded *= is_valid[..., None]
    labels = (torch.arange(NUM_ROWS) * 3 % num_classes) * is_valid
    their_targets = [
        {"boxes": padded[i][rows].to(dtype), "labels": labels[i][rows] + first_label}
        | ({} if masks is None else {"masks": masks[i][rows]})
        for i, rows in enumerate(is_valid)
    ]
    return SharedBatch(
        images=ImageBatch(pixels, sizes=torch.tensor([height_width] * 2), keys=keys),
        targets=Targets(boxes=padded, labels=labels, is_valid=is_valid, masks=masks),
        their_targets=their_targets,
    )


def assert_losses_equal(
    losses: Mapping[str, Tensor],
    theirs: Mapping[str, Tensor],
    *,
    names: Mapping[str, str],
    above: float,
    rtol: float,
) -> None:
    """Ours are theirs, by our names, and none is so small that this says nothing."""
    assert [*losses] == [*names]
    for name, their_name in names.items():
        assert losses[name] > above, name
        torch.testing.assert_close(losses[name], theirs[their_name], rtol=rtol, atol=0, msg=name)


def gradients_of(model: nn.Module) -> dict[str, Tensor]:
    """Of all parameters that have one."""
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def assert_gradients_equal(
    gradients: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, tolerance: float
) -> None:
    """Each is the wanted one, but for a small part of its norm."""
    for name, gradient in gradients.items():
        error = (gradient - wanted[name]).norm() / wanted[name].norm()
        assert error < tolerance, name


def has_area(boxes: Tensor) -> Tensor:
    """``(D,)`` whether a box was not clipped away; torchvision keeps those as detections of nothing."""
    return (boxes[:, 2:] > boxes[:, :2]).all(dim=1)


def assert_detections_equal(
    found: Detections,
    theirs: Sequence[Mapping[str, Tensor]],
    *,
    more_than: int,
    rtol: float,
    atol: tuple[float, float],
    first_label: int = 0,
) -> None:
    """Ours are theirs that have an area, box by box.

    Args:
        found: Ours.
        theirs: Theirs of each picture.
        more_than: So many are too few to say anything.
        rtol: Relative error of corners and scores.
        atol: Absolute error of corners, in pixels, and of scores.
        first_label: Theirs of our label 0.
    """
    for picture, wanted in enumerate(theirs):
        kept, rows = has_area(wanted["boxes"]), found.is_valid[picture]
        assert kept.sum() == rows.sum() > more_than
        boxes, scores, labels = (wanted[key][kept] for key in ("boxes", "scores", "labels"))
        assert len(set(labels.tolist())) > 1
        torch.testing.assert_close(found.boxes[picture][rows], boxes, rtol=rtol, atol=atol[0])
        torch.testing.assert_close(found.scores[picture][rows], scores, rtol=rtol, atol=atol[1])
        assert torch.equal(found.labels[picture][rows] + first_label, labels)
