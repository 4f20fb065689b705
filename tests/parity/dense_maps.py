"""What our heads predict at every place of the pyramid, in the form of mmdetection's maps."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hrdet_cli.engine.models.dense.fcos import FcosHead
from hrdet_cli.engine.models.dense.retina import RetinaHead
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.pyramid import Pyramid


def dense_maps(detector: Detector, pyramid: Pyramid) -> Mapping[str, Sequence[Tensor]]:
    """Each level ``(N, values of a cell, H, W)``, by the names that dumps have."""
    dense = next(iter(detector.head.parts.values()))
    predictions = dense(pyramid)
    if isinstance(dense, RegionProposalNetwork):
        rows = {"rpn_scores": predictions.logits, "rpn_deltas": predictions.deltas}
    elif isinstance(dense, RetinaHead):
        rows = {"class_logits": torch.cat(predictions.logits, dim=1), "deltas": predictions.deltas}
    elif isinstance(dense, FcosHead):
        rows = {name: getattr(predictions, name) for name in ("distances", "centreness")}
        rows["class_logits"] = predictions.logits
    else:
        raise TypeError(f"the dense part is a {type(dense).__name__}")
    return {name: _as_maps(values, pyramid) for name, values in rows.items()}


def _as_maps(rows: Tensor, pyramid: Pyramid) -> list[Tensor]:
    """Of ``(N, A, ...)``, anchor by anchor, cell by cell, row by row of each level."""
    grids = [level.shape[-2:] for level in pyramid.levels]
    num_per_cell = rows.shape[1] // sum(height * width for height, width in grids)
    lengths = [height * width * num_per_cell for height, width in grids]
    return [
        level.reshape(len(level), height, width, -1).permute(0, 3, 1, 2)
        for level, (height, width) in zip(torch.split(rows, lengths, dim=1), grids, strict=True)
    ]
