"""hrdet beside what another detector wrote down: the largest differences, stage by stage.

    python -m tests.parity.compare FOLDER [w18 w32 w40 r50 r50-caffe torchvision]

FOLDER has the files of ``mmdetection_dump.py`` and ``torchvision_dump.py``. A relative difference is the
largest absolute one over the largest value of the stage.
"""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hrdet_cli.engine.evaluation.inference import PictureDetections, detect_all
from hrdet_cli.engine.models.dense.proposals import Proposals
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.weights.naming.recognition import recognise, to_ours
from tests.parity.cases import DETECTION_BATCHES, TRAINING_BATCHES
from tests.parity.filled_detector import (
    PRESETS,
    RecordedSampler,
    build_filled,
    make_batch,
    roi_draws,
    rpn_draws,
)
from tests.two_stage import two_stage

_SAME_BOX_PIXELS = 0.05
LOSSES = {
    "loss_rpn_cls": "rpn_objectness",
    "loss_rpn_bbox": "rpn_box",
    "loss_cls": "roi_class",
    "loss_bbox": "roi_box",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest difference of one stage in one batch.

    Attributes:
        stage: What was compared.
        absolute: In the stage's own units.
        relative: Over the largest absolute value of the stage.
        note: What else is to be said, such as boxes that have no counterpart.
    """

    stage: str
    absolute: float
    relative: float
    note: str = ""


def main() -> None:
    """Print a table for each model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("models", nargs="*", default=list(PRESETS))
    parser.add_argument("--float64", action="store_true", help="compute hrdet's side in float64")
    arguments = parser.parse_args()
    for model in arguments.models:
        dump = torch.load(arguments.folder / f"{model}.pt", weights_only=True)
        detector = build_filled(model, dump["shapes"])
        if arguments.float64:
            detector = detector.double()
        sys.stdout.write(f"\n{model}\n| batch | stage | largest | relative | |\n|{' --- |' * 5}\n")
        for batch, stages in dump["detection"].items():
            show(batch, compare_detection(detector, DETECTION_BATCHES[batch], stages))
        for batch, stages in dump["training"].items():
            show(
                f"{batch}, training",
                compare_training(detector, TRAINING_BATCHES[batch], stages, dump["shapes"]),
            )


def show(batch: str, differences: Iterator[Difference]) -> None:
    """Print rows of the table."""
    for found in differences:
        row = (batch, found.stage, f"{found.absolute:.1e}", f"{found.relative:.1e}", found.note)
        sys.stdout.write(f"| {' | '.join(row)} |\n")
        sys.stdout.flush()


@torch.no_grad()
def compare_detection(
    detector: Detector, sizes: Sequence[tuple[int, int]], dump: Mapping[str, Any]
) -> Iterator[Difference]:
    """From pixels to boxes in original coordinates, each stage on what our own stage before it gave."""
    detector.eval()
    batch = make_batch(sizes)
    normalised = detector.normalise(batch.images)
    yield difference("input", normalised, dump["input"])
    backbone = detector.backbone(normalised, None)
    yield of_levels("backbone", backbone, dump["backbone"])
    neck = detector.neck(backbone, None)
    yield of_levels("neck", neck.levels, dump["neck"])
    head = two_stage(detector)
    predictions = head.rpn(neck)
    yield difference("rpn scores", predictions.logits, _rows(dump["rpn_scores"], width=1)[..., 0])
    yield difference("rpn deltas", predictions.deltas, _rows(dump["rpn_deltas"], width=4))
    proposals = head.rpn.propose(predictions, batch.images.sizes)
    found = [boxes[is_valid] for boxes, is_valid in zip(proposals.boxes, proposals.is_valid, strict=True)]
    yield of_boxes("proposals", found, [picture["boxes"] for picture in dump["proposals"]])
    yield from of_detections(
        [(picture.boxes, picture.scores, picture.labels) for picture in detect_in(detector, batch)],
        [(picture["boxes"], picture["scores"], picture["labels"]) for picture in dump["detections"]],
    )


def compare_training(
    detector: Detector,
    sizes: Sequence[tuple[int, int]],
    dump: Mapping[str, Any],
    shapes: Mapping[str, Sequence[int]],
) -> Iterator[Difference]:
    """What anchors and proposals are assigned to, then losses and gradients with the recorded samples.

    The region head gets the recorded proposals, since the samples are numbered among them.
    """
    detector.train()
    batch = make_batch(sizes)
    num_boxes = batch.targets.is_valid.sum(dim=1).tolist()
    num_rows = batch.targets.boxes.shape[1]
    head = two_stage(detector)
    rpn_sampler = head.rpn.sampler
    of_rpn = RecordedSampler(rpn_draws(dump))
    of_roi = RecordedSampler(roi_draws(dump, num_boxes, num_rows))
    # Detectors take a Sampler and no other; this stands in for one during a comparison only.
    head.rpn.sampler = of_rpn  # type: ignore[assignment]
    region_draw = replace(head.region_draw, sampler=of_roi)  # type: ignore[arg-type]
    try:
        pyramid = detector.pyramid(batch.images)
        predictions = head.rpn(pyramid)
        proposed = head.rpn.propose(predictions, batch.images.sizes)
        recorded = _recorded_proposals(dump, pyramid.levels[0].dtype)
        losses = head.rpn.losses(predictions, batch.images, batch.targets)
        drawn = region_draw.draw(
            recorded, batch.images, batch.targets, class_losses=partial(head.roi_head.class_losses, pyramid)
        )
        roi = head.roi_head.losses(head.roi_head(pyramid, drawn.boxes), drawn, batch.targets)
        losses |= {"roi_class": roi.classes, "roi_box": roi.boxes}
        detector.zero_grad()
        torch.autograd.backward(torch.stack(list(losses.values())).sum())
    finally:
        head.rpn.sampler = rpn_sampler
    found = [boxes[is_valid] for boxes, is_valid in zip(proposed.boxes, proposed.is_valid, strict=True)]
    yield of_boxes("proposals", found, [picture["candidates"] for picture in dump["roi_draws"]])
    anchors = [scattered(*pair) for pair in zip(dump["rpn_takes_part"], dump["rpn_draws"], strict=True)]
    yield of_assignments("anchor targets", of_rpn, anchors, skip=0)
    regions = [picture["assigned"] for picture in dump["roi_draws"]]
    yield of_assignments("region targets", of_roi, regions, skip=num_rows)
    for name, ours in LOSSES.items():
        yield difference(name, losses[ours].detach(), torch.tensor(dump["losses"][name]))
    yield of_gradients(detector, dump["gradients"], shapes)


def difference(stage: str, ours: Tensor, theirs: Tensor) -> Difference:
    """Of two tensors of one shape."""
    if ours.shape != theirs.shape:
        return Difference(stage, torch.inf, torch.inf, f"{tuple(ours.shape)}, not {tuple(theirs.shape)}")
    absolute = (ours - theirs).abs().max().item() if ours.numel() else 0.0
    largest = theirs.abs().max().item() if theirs.numel() else 1.0
    return Difference(stage, absolute, absolute / largest)


def of_levels(stage: str, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Difference:
    """The largest of any level of a pyramid."""
    levels = [difference(stage, *pair) for pair in zip(ours, theirs, strict=True)]
    return max(levels, key=lambda level: level.relative)


def of_boxes(stage: str, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Difference:
    """Each of their boxes beside the one nearest to it among ours.

    Where two scores, or an overlap and its threshold, differ by less than rounding, NMS may keep the one or
    the other: boxes without a counterpart are counted, not measured.
    """
    distances, num_ours, num_moved = [], 0, 0
    for own, other in zip(ours, theirs, strict=True):
        num_ours += len(own)
        if len(own) and len(other):
            far = torch.cdist(other, own.to(other.dtype), p=torch.inf).min(dim=1)
            distances.append(far.values)
            same = far.values <= _SAME_BOX_PIXELS
            num_moved += int((far.indices != torch.arange(len(other)))[same].sum())
    nearest = torch.cat(distances) if distances else torch.zeros(0)
    same = nearest <= _SAME_BOX_PIXELS
    num_theirs = sum(len(other) for other in theirs)
    note = f"{int(same.sum())} of {num_theirs} boxes found, {num_ours} of ours, {num_moved} in another place"
    largest = max((other[:, :4].abs().max().item() for other in theirs if len(other)), default=1.0)
    absolute = nearest[same].max().item() if same.any() else 0.0
    return Difference(stage, absolute, absolute / largest, note)


def of_detections(
    ours: Sequence[tuple[Tensor, Tensor, Tensor]], theirs: Sequence[tuple[Tensor, Tensor, Tensor]]
) -> Iterator[Difference]:
    """Boxes and labels as of ``of_boxes``; scores of those that are the same box of a class."""
    own_boxes = [_labelled(boxes, labels) for boxes, _, labels in ours]
    other_boxes = [_labelled(boxes, labels) for boxes, _, labels in theirs]
    yield of_boxes("detections", own_boxes, other_boxes)
    differences = [torch.zeros(1)]
    for own, other, (_, own_scores, _), (_, other_scores, _) in zip(
        own_boxes, other_boxes, ours, theirs, strict=True
    ):
        if len(own) and len(other):
            far = torch.cdist(other, own.to(other.dtype), p=torch.inf).min(dim=1)
            same = far.values <= _SAME_BOX_PIXELS
            differences.append((own_scores[far.indices] - other_scores)[same].abs())
    absolute = torch.cat(differences).max().item()
    yield Difference(
        "detection scores", absolute, absolute / max(scores.max().item() for _, scores, _ in theirs)
    )


def of_assignments(
    stage: str, sampler: RecordedSampler, theirs: Sequence[Tensor], *, skip: int
) -> Difference:
    """How many candidates, after the first ``skip``, are assigned to something else."""
    if sampler.matches is None:
        raise ValueError("nothing was drawn")
    matches = sampler.matches
    ours = torch.where(matches.is_positive, matches.target_index + 1, matches.is_negative.long() - 1)[
        :, skip:
    ]
    num_different = sum(
        int((own[: len(other)] != other).sum()) for own, other in zip(ours, theirs, strict=True)
    )
    num = sum(len(other) for other in theirs)
    num_positive = sum(int((other > 0).sum()) for other in theirs)
    return Difference(stage, num_different, num_different / num, f"of {num}, {num_positive} positive")


def of_gradients(
    detector: Detector, norms: Mapping[str, float], shapes: Mapping[str, Sequence[int]]
) -> Difference:
    """The norm of each parameter's gradient, relative to itself."""
    by_their_name = {name: torch.tensor(norm).expand(tuple(shapes[name])) for name, norm in norms.items()}
    by_their_name |= {
        name: torch.tensor(-1.0).expand(tuple(shape)) for name, shape in shapes.items() if name not in norms
    }
    theirs = {
        name: value.amax().item()
        for name, value in to_ours(by_their_name, recognise(by_their_name)[0]).items()
    }
    worst = Difference("gradients", 0.0, 0.0)
    for name, parameter in detector.named_parameters():
        norm, expected = (
            0.0 if parameter.grad is None else parameter.grad.double().norm().item(),
            theirs[name],
        )
        if (expected < 0) == parameter.requires_grad:
            return Difference("gradients", torch.inf, torch.inf, f"only one trains {name}")
        found = Difference(
            "gradients", abs(norm - expected), abs(norm - expected) / max(expected, 1e-6), name
        )
        if expected > 0 and found.relative > worst.relative:
            worst = found
    return worst


def scattered(takes_part: Tensor, drawn: Mapping[str, Tensor]) -> Tensor:
    """Assignments among all anchors; -1 where one takes no part."""
    assigned = torch.full(takes_part.shape, -1)
    assigned[takes_part] = drawn["assigned"].long()
    return assigned


def _recorded_proposals(dump: Mapping[str, Any], dtype: torch.dtype) -> Proposals:
    candidates = [picture["candidates"] for picture in dump["roi_draws"]]
    boxes = torch.nn.utils.rnn.pad_sequence(candidates, batch_first=True).to(dtype)
    counts = torch.tensor([len(boxes) for boxes in candidates])
    return Proposals(boxes=boxes, is_valid=torch.arange(boxes.shape[1]) < counts[:, None])


def _rows(levels: Sequence[Tensor], *, width: int) -> Tensor:
    """``(N, anchors * width, H, W)`` of each level to ``(N, A, width)``."""
    return torch.cat([level.permute(0, 2, 3, 1).reshape(len(level), -1, width) for level in levels], dim=1)


def _labelled(boxes: Tensor, labels: Tensor) -> Tensor:
    """Boxes of different labels are far from each other."""
    return torch.cat((boxes, 1000.0 * labels[:, None]), dim=1)


class _OneBatch:
    """A loader of one batch."""

    num_rounds = 1

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def batches(self) -> Iterator[Any]:
        yield self._batch


def detect_in(detector: Detector, batch: Any) -> Sequence[PictureDetections]:
    """What a detector finds in a batch, in original coordinates."""
    rounds = detect_all(
        detector,
        _OneBatch(batch),
        device=torch.device("cpu"),
        autocast_dtype=None,
        stop_asked=lambda: False,
    )
    return next(iter(rounds)).pictures


if __name__ == "__main__":
    main()
