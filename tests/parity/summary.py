"""A few numbers that stand for all that a detector computed; torch alone, for both sides of a comparison."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

GOLDEN_BATCH = [(96, 128), (70, 90)]
NUM_DETECTIONS_SHOWN = 6

Checksum = tuple[float, float]

LEVELS = ("backbone", "neck", "rpn_scores", "rpn_deltas", "class_logits", "deltas", "distances", "centreness")
"""What has a tensor for each level of the pyramid."""


def checksum(values: Tensor) -> Checksum:
    """A mean in which every place has a weight of its own, so that nothing can change places, and the RMS."""
    flat = values.double().flatten()
    weights = (torch.arange(len(flat)) * 7919 % 1009).double() / 1009
    return round_digits((flat * weights).mean().item()), round_digits(flat.square().mean().sqrt().item())


def round_digits(value: float) -> float:
    """Seven of them, which is what float32 has."""
    return float(f"{value:.7g}")


def spread(indices: Tensor, count: int) -> Tensor:
    """``count`` of ``indices``, evenly spread: a draw that both sides can make."""
    return indices[torch.arange(count) * len(indices) // count]


def spread_target(shape: Sequence[int]) -> Tensor:
    """Masks ``(R, m, m)`` of zeros and ones: a target that both sides can make."""
    region, row, column = torch.meshgrid(*(torch.arange(size) for size in shape), indexing="ij")
    return ((7 * region + 3 * row + 5 * column) % 11 < 5).float()


def summarise(detection: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
    """Of the dumps of one batch."""
    golden: dict[str, Any] = {
        name: [checksum(level) for level in detection[name]] for name in LEVELS if name in detection
    }
    if "proposals" in detection:
        golden["num_proposals"] = [len(picture["boxes"]) for picture in detection["proposals"]]
    if "semantic_logits" in detection:
        golden["semantic_logits"] = checksum(detection["semantic_logits"])
    if "masks" in detection:
        pictures = detection["masks"].split([len(picture["boxes"]) for picture in detection["detections"]])
        golden["masks"] = checksum(torch.cat([masks[:NUM_DETECTIONS_SHOWN] for masks in pictures]))
    return {
        "input": checksum(detection["input"]),
        **golden,
        "detections": [
            [
                (label, round_digits(score), [round(edge, 3) for edge in box])
                for box, score, label in zip(
                    picture["boxes"][:NUM_DETECTIONS_SHOWN].tolist(),
                    picture["scores"].tolist(),
                    picture["labels"].tolist(),
                    strict=False,
                )
            ]
            for picture in detection["detections"]
        ],
        "losses": {name: round_digits(value) for name, value in training["losses"].items() if "loss" in name},
        "num_drawn": [
            (len(picture["positive"]), len(picture["negative"])) for picture in _drawn_pictures(training)
        ],
    }


def _drawn_pictures(training: Mapping[str, Any]) -> Iterator[Mapping[str, Tensor]]:
    """In the order in which they are drawn from; a stage may draw regions for boxes, then for masks."""
    if training["box_draws"]:  # others look at all anchors, or have none
        yield from training["anchor_draws"]
    for stage, pictures in enumerate(training["box_draws"]):
        yield from pictures
        yield from training["mask_draws"][stage] if training["mask_draws"] else []
