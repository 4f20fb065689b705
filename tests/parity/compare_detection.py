"""hrdet's stages beside another detector's, from pixels to boxes in original coordinates."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.evaluation.inference import PictureDetections, detect_all
from hrdet_cli.engine.models.dense.proposals import Proposals
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.detector import Detector
from tests.parity.dense_maps import dense_maps
from tests.parity.differences import Difference, counterparts, difference, labelled, of_boxes, of_levels
from tests.parity.filled_detector import make_batch


@torch.no_grad()
def compare_detection(
    detector: Detector, sizes: Sequence[tuple[int, int]], dump: Mapping[str, Any]
) -> Iterator[Difference]:
    """Each stage on what our own stage before it gave."""
    detector.eval()
    batch = make_batch(sizes)
    normalised = detector.normalise(batch.images)
    yield difference("input", normalised, dump["input"])
    backbone = detector.backbone(normalised, None)
    yield of_levels("backbone", backbone, dump["backbone"])
    pyramid = detector.neck(backbone, None)
    yield of_levels("neck", pyramid.levels, dump["neck"])
    for name, levels in dense_maps(detector, pyramid).items():
        yield of_levels(name.replace("_", " "), levels, dump[name])
    rpn = detector.head.parts.get("rpn")
    if isinstance(rpn, RegionProposalNetwork):
        proposals = rpn.propose(rpn(pyramid), batch.images.sizes)
        yield of_boxes("proposals", boxes_of(proposals), [picture["boxes"] for picture in dump["proposals"]])
    yield from of_detections(detect_in(detector, batch), dump["detections"])


def boxes_of(proposals: Proposals) -> list[Tensor]:
    """Those of each picture, without padding."""
    return [boxes[is_valid] for boxes, is_valid in zip(proposals.boxes, proposals.is_valid, strict=True)]


def of_detections(
    ours: Sequence[PictureDetections], theirs: Sequence[Mapping[str, Tensor]]
) -> Iterator[Difference]:
    """Boxes and labels as of ``of_boxes``; scores of those that are the same box of a class."""
    yield of_boxes(
        "detections",
        [labelled(picture.boxes, picture.labels) for picture in ours],
        [labelled(picture["boxes"], picture["labels"]) for picture in theirs],
    )
    differences = [torch.zeros(1)]
    for own, other in zip(ours, theirs, strict=True):
        row, other_row = counterparts(own.boxes, own.labels, other["boxes"], other["labels"])
        differences.append((own.scores[row] - other["scores"][other_row]).abs())
    absolute = torch.cat(differences).max().item()
    largest = max(picture["scores"].max().item() for picture in theirs)
    yield Difference("detection scores", absolute, absolute / largest)


class _OneBatch:
    """A loader of one batch."""

    num_rounds = 1

    def __init__(self, batch: Batch) -> None:
        self._batch = batch

    def batches(self) -> Iterator[Batch]:
        yield self._batch


def detect_in(detector: Detector, batch: Batch) -> Sequence[PictureDetections]:
    """What a detector finds in a batch, in original coordinates."""
    rounds = detect_all(
        detector,
        _OneBatch(batch),
        device=torch.device("cpu"),
        autocast_dtype=None,
        stop_asked=lambda: False,
    )
    return next(iter(rounds)).pictures
