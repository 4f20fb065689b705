"""hrdet's losses and gradients beside another detector's, with the same samples."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.weights.naming.recognition import recognise, to_ours
from tests.parity.compare_detection import boxes_of
from tests.parity.differences import (
    Difference,
    difference,
    of_assignments,
    of_boxes,
    of_gradients,
    share_of_different,
)
from tests.parity.filled_detector import make_batch
from tests.parity.point_targets import heard_points, of_points
from tests.parity.recorded_draws import recorded_draws, recorded_mask_targets, recorded_proposals, replayed

_LOSSES = {
    "rpn": {
        "loss_rpn_cls": "rpn_objectness",
        "loss_rpn_bbox": "rpn_box",
        "loss_cls": "roi_class",
        "loss_bbox": "roi_box",
        "loss_mask": "roi_mask",
        "loss_semantic_seg": "semantic",
    },
    "retina_head": {"loss_cls": "retina_class", "loss_bbox": "retina_box"},
    "fcos_head": {
        "loss_cls": "fcos_class",
        "loss_bbox": "fcos_box",
        "loss_centerness": "fcos_centreness",
    },
}
"""Our names of mmdetection's losses, by the part of the detector that tells heads apart."""


def compare_training(
    detector: Detector,
    sizes: Sequence[tuple[int, int]],
    dump: Mapping[str, Any],
    shapes: Mapping[str, Sequence[int]],
) -> Iterator[Difference]:
    """What anchors and regions are assigned to, then losses and gradients.

    The detector draws what the other one drew, and its regions are the other one's proposals, since the draws
    are numbered among them.
    """
    detector.train()
    batch = make_batch(sizes)
    num_targets = batch.targets.is_valid.sum(dim=1).tolist()
    draws = list(recorded_draws(dump, num_targets, batch.targets.boxes.shape[1]))
    with ExitStack() as stack:
        heard = stack.enter_context(replayed(draws))
        if dump["box_draws"]:
            proposals = [picture["candidates"] for picture in dump["box_draws"][0]]
            proposed = stack.enter_context(recorded_proposals(proposals))
        masks = stack.enter_context(recorded_mask_targets(dump["mask_targets"]))
        points = stack.enter_context(heard_points())
        losses = detector(batch.images, batch.targets)
    detector.zero_grad()
    torch.autograd.backward(torch.stack(list(losses.values())).sum())
    if dump["box_draws"]:
        yield of_boxes("proposals", boxes_of(proposed[0]), proposals)
    for draw, matches in zip(draws, heard, strict=True):
        yield of_assignments(f"targets of {draw.stage}", matches, draw.places, draw.assigned)
    for pair in points:
        yield from of_points(*pair, batch.targets, dump["point_labels"], dump["point_distances"])
    for number, (ours, theirs) in enumerate(masks, start=1):
        yield share_of_different(f"mask targets of stage {number}", ours, theirs, of="cells")
    for name, loss in losses_by_our_names(dump["losses"], detector).items():
        yield difference(name, losses[name].detach(), torch.tensor(loss, dtype=losses[name].dtype))
    norms = {
        name: None if parameter.grad is None else parameter.grad.double().norm().item()
        for name, parameter in detector.named_parameters()
    }
    yield of_gradients(norms, gradients_by_our_names(dump["gradients"], shapes))


def losses_by_our_names(losses: Mapping[str, float], detector: Detector) -> Mapping[str, float]:
    """Those of a dump, of each stage if there are several; what it tells beside losses is left out."""
    (our_names,) = (names for part, names in _LOSSES.items() if part in detector.head.parts)
    ours = {}
    for name, value in losses.items():
        stage, _, loss = name.rpartition(".")
        if loss in our_names:
            ours[f"{our_names[loss]}_{int(stage[1:]) + 1}" if stage else our_names[loss]] = value
    return ours


def gradients_by_our_names(
    norms: Mapping[str, float], shapes: Mapping[str, Sequence[int]]
) -> Mapping[str, float | None]:
    """The norms of a dump; None for tensors that are not trained there."""
    untrained = -1.0
    by_their_name = {
        name: torch.tensor(norms.get(name, untrained)).expand(tuple(shape)) for name, shape in shapes.items()
    }
    ours = to_ours(by_their_name, recognise(by_their_name)[0])
    largest = {name: value.amax().item() for name, value in ours.items()}
    return {name: None if norm == untrained else norm for name, norm in largest.items()}
