"""What our heads predict at every place of the pyramid, in the form of mmdetection's maps."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.pyramid import Pyramid


def dense_maps(detector: Detector, pyramid: Pyramid) -> Mapping[str, Sequence[Tensor]]:
    """Each level ``(N, values of a cell, H, W)``, by the names that dumps have."""
    rpn = detector.head.parts["rpn"]
    if not isinstance(rpn, RegionProposalNetwork):
        raise TypeError(f"the dense part is a {type(rpn).__name__}")
    predictions = rpn(pyramid)
    return {
        "rpn_scores": _as_maps(predictions.logits, pyramid),
        "rpn_deltas": _as_maps(predictions.deltas, pyramid),
    }


def _as_maps(rows: Tensor, pyramid: Pyramid) -> list[Tensor]:
    """Of ``(N, A, ...)``, anchor by anchor, cell by cell, row by row of each level."""
    grids = [level.shape[-2:] for level in pyramid.levels]
    num_per_cell = rows.shape[1] // sum(height * width for height, width in grids)
    levels = torch.split(rows, [height * width * num_per_cell for height, width in grids], dim=1)
    return [
        level.reshape(len(level), height, width, -1).permute(0, 3, 1, 2)
        for level, (height, width) in zip(levels, grids, strict=True)
    ]
