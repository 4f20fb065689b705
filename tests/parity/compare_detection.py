"""hrdet's stages beside another detector's, from pixels to boxes in original coordinates."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.evaluation.inference import detect_batch
from hrdet_cli.engine.evaluation.mask_pasting import MaskPasting
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.models.dense.proposals import Proposals
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.numerics import Numerics
from tests.parity.dense_maps import dense_maps
from tests.parity.differences import (
    Difference,
    counterparts,
    difference,
    labelled,
    of_boxes,
    of_levels,
    share_of_different,
)
from tests.parity.filled_detector import make_batch
from tests.parity.region_stages import of_box_stages, of_mask_stages


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
    pyramid = detector.head.prepare(pyramid)
    if pyramid.semantic is not None:
        logits = detector.head.parts["semantic_head"].get_submodule("logits")(pyramid.semantic.hidden)
        yield difference("semantic logits", logits, dump["semantic_logits"])
        yield difference("semantic features", pyramid.semantic.features, dump["semantic_features"])
    if "box_stages" in dump:
        yield from of_box_stages(detector, pyramid, dump["box_stages"])
    if "mask_logits" in dump:
        yield from of_mask_stages(detector, pyramid, dump)
    found = detect_in(detector, batch)
    yield from of_detections(found, dump["detections"])
    if "pasted" in dump:
        yield of_pasted(found, dump)


def boxes_of(proposals: Proposals) -> list[Tensor]:
    """Those of each picture, without padding."""
    return [boxes[is_valid] for boxes, is_valid in zip(proposals.boxes, proposals.is_valid, strict=True)]


def of_pasted(ours: Sequence[PictureDetections], dump: Mapping[str, Any]) -> Difference:
    """The pixels of masks of what both have found, in the original pictures."""
    own_masks, other_masks = [torch.zeros(0).bool()], [torch.zeros(0).bool()]
    for own, other, packed in zip(ours, dump["detections"], dump["pasted"], strict=True):
        if own.masks is None:
            return Difference("pasted masks", torch.inf, torch.inf, "we have none")
        row, other_row = counterparts(own.boxes, own.labels, other["boxes"], other["labels"])
        bitmaps = torch.from_numpy(np.stack(list(own.masks.bitmaps())))
        width = bitmaps.shape[-1]
        other_bitmaps = torch.from_numpy(np.unpackbits(packed.numpy(), axis=-1, count=width)).bool()
        own_masks.append(bitmaps[row].flatten())
        other_masks.append(other_bitmaps[other_row].flatten())
    num_inside = sum(int(mask.sum()) for mask in other_masks)
    of = f"pixels, {num_inside} inside"
    return share_of_different("pasted masks", torch.cat(own_masks), torch.cat(other_masks), of=of)


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


def detect_in(detector: Detector, batch: Batch) -> Sequence[PictureDetections]:
    """What a detector finds in a batch, in original coordinates."""
    detector.eval()
    return detect_batch(
        detector, batch, device=torch.device("cpu"), numerics=Numerics(), pasting=MaskPasting(threshold=0.5)
    )
