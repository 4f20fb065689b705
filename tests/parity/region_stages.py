"""What our stages say of the regions that another detector's stages looked at."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from hrdet_cli.engine.models.dense.proposals import Proposals
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.box_stage import BoxStage
from hrdet_cli.engine.models.regions.mask_branch import MaskBranch
from hrdet_cli.engine.structures import Detections
from tests.parity.differences import Difference, difference


def of_box_stages(
    detector: Detector, pyramid: Pyramid, stages: Sequence[Mapping[str, Tensor]]
) -> Iterator[Difference]:
    """Class logits and deltas of each stage, on the regions that it got there."""
    own = [part for part in detector.head.parts["roi_head"].modules() if isinstance(part, BoxStage)]
    for number, (box_stage, stage) in enumerate(zip(own, stages, strict=True), start=1):
        regions = regions_of(stage["regions"], num_pictures=len(pyramid.levels[0]))
        predictions = box_stage(pyramid, regions)
        logits, deltas = predictions.logits[regions.is_valid], predictions.deltas[regions.is_valid]
        yield difference(f"class logits of stage {number}", logits, stage["logits"])
        yield difference(f"deltas of stage {number}", deltas.flatten(1), stage["deltas"])


def of_mask_stages(detector: Detector, pyramid: Pyramid, dump: Mapping[str, Any]) -> Iterator[Difference]:
    """Mask logits of each stage on the boxes that were found there, and the probabilities of all together."""
    regions = regions_of(dump["mask_regions"], num_pictures=len(pyramid.levels[0]))
    labels = pad_sequence([picture["labels"] for picture in dump["detections"]], batch_first=True)
    found = Detections(
        boxes=regions.boxes,
        scores=torch.ones_like(labels, dtype=regions.boxes.dtype),
        labels=labels,
        is_valid=regions.is_valid,
    )
    heard: list[Tensor] = []
    logits_of = MaskBranch.logits_of

    def listen(branch: MaskBranch, features: Tensor, labels: Tensor) -> Tensor:
        heard.append(logits_of(branch, features, labels))
        return heard[-1]

    with mock.patch.object(MaskBranch, "logits_of", listen):
        completed = detector.head.complete(pyramid, found)
    if completed.masks is None:
        raise ValueError("the detector has no masks")
    stages = dump["mask_logits"][
        -len(heard) :
    ]  # only the last one's are needed where that is all that counts
    for number, (own, theirs) in enumerate(zip(heard, stages, strict=True), start=1):
        yield difference(f"mask logits of stage {number}", own[regions.is_valid.flatten()], theirs)
    yield difference("masks", completed.masks[regions.is_valid], dump["masks"])


def regions_of(rows: Tensor, *, num_pictures: int) -> Proposals:
    """Regions of each picture.

    Args:
        rows: ``(R, 5)``, the number of the picture and the box, ordered by picture.
        num_pictures: N.
    """
    pictures = [rows[rows[:, 0] == number, 1:] for number in range(num_pictures)]
    boxes = pad_sequence(pictures, batch_first=True)
    counts = torch.tensor([len(picture) for picture in pictures])
    return Proposals(boxes=boxes, is_valid=torch.arange(boxes.shape[1]) < counts[:, None])
