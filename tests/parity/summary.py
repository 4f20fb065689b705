"""A few numbers that stand for all that a detector computed; torch alone, for both sides of a comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

GOLDEN_BATCH = [(96, 128), (70, 90)]
NUM_DETECTIONS_SHOWN = 6

Checksum = tuple[float, float]


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


def summarise(detection: Mapping[str, Any], training: Mapping[str, Any]) -> dict[str, Any]:
    """Of the dumps of one batch."""
    stages: dict[str, Sequence[Checksum]] = {
        name: [checksum(level) for level in detection[name]]
        for name in ("backbone", "neck", "rpn_scores", "rpn_deltas")
    }
    return {
        "input": checksum(detection["input"]),
        **stages,
        "num_proposals": [len(picture["boxes"]) for picture in detection["proposals"]],
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
        "losses": {name: round_digits(value) for name, value in training["losses"].items() if name != "acc"},
        "num_drawn": [
            (len(picture["positive"]), len(picture["negative"]))
            for picture in (*training["rpn_draws"], *training["roi_draws"])
        ],
    }
