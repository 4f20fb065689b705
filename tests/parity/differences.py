"""The largest difference of a stage between two detectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.matching import Matches

_SAME_BOX_PIXELS = 0.05


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


def share_of_different(stage: str, ours: Tensor, theirs: Tensor, *, of: str) -> Difference:
    """How many of two tensors' values are not the same."""
    if ours.shape != theirs.shape:
        return Difference(stage, torch.inf, torch.inf, f"{tuple(ours.shape)}, not {tuple(theirs.shape)}")
    num_different = int((ours != theirs).sum())
    return Difference(stage, num_different, num_different / max(1, ours.numel()), f"of {ours.numel()} {of}")


def of_boxes(stage: str, ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Difference:
    """Each of their boxes beside the one nearest to it among ours.

    Where two scores, or an overlap and its threshold, differ by less than rounding, NMS may keep the one or
    the other: boxes without a counterpart are counted, not measured.
    """
    distances, num_ours, num_moved = [], 0, 0
    for own, other in zip(ours, theirs, strict=True):
        num_ours += len(own)
        if len(own) and len(other):
            distance, index = nearest(own, other)
            distances.append(distance)
            same = distance <= _SAME_BOX_PIXELS
            num_moved += int((index != torch.arange(len(other)))[same].sum())
    far = torch.cat(distances) if distances else torch.zeros(0)
    same = far <= _SAME_BOX_PIXELS
    num_theirs = sum(len(other) for other in theirs)
    note = f"{int(same.sum())} of {num_theirs} boxes found, {num_ours} of ours, {num_moved} in another place"
    largest = max((other[:, :4].abs().max().item() for other in theirs if len(other)), default=1.0)
    absolute = far[same].max().item() if same.any() else 0.0
    return Difference(stage, absolute, absolute / largest, note)


def nearest(ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """For each row of theirs the nearest of ours by the furthest coordinate: distance and index."""
    found = torch.cdist(theirs, ours.to(theirs.dtype), p=torch.inf).min(dim=1)
    return found.values, found.indices


def counterparts(
    boxes: Tensor, labels: Tensor, other_boxes: Tensor, other_labels: Tensor
) -> tuple[Tensor, Tensor]:
    """Rows of ours and of theirs that are the same box of a class."""
    if not len(boxes) or not len(other_boxes):
        return torch.zeros(0).long(), torch.zeros(0).long()
    distance, index = nearest(labelled(boxes, labels), labelled(other_boxes, other_labels))
    same = (distance <= _SAME_BOX_PIXELS).nonzero().flatten()
    return index[same], same


def labelled(boxes: Tensor, labels: Tensor) -> Tensor:
    """Boxes of different labels are far from each other."""
    return torch.cat((boxes, 1000.0 * labels[:, None]), dim=1)


def of_assignments(
    stage: str, matches: Matches, places: Sequence[Tensor], theirs: Sequence[Tensor]
) -> Difference:
    """How many candidates are assigned to something else.

    Args:
        stage: What was compared.
        matches: What ours are.
        places: Of each picture: where their candidates are among ours.
        theirs: What those are, as numbers from 1 for targets, 0 for the background and -1 for neither.
    """
    ours = torch.where(matches.is_positive, matches.target_index + 1, matches.is_negative.long() - 1)
    pictures = list(zip(ours, places, theirs, strict=True))
    num_different = sum(int((own[place] != other).sum()) for own, place, other in pictures)
    num = sum(len(other) for other in theirs)
    num_positive = sum(int((other > 0).sum()) for other in theirs)
    return Difference(stage, num_different, num_different / num, f"of {num}, {num_positive} positive")


def of_gradients(ours: Mapping[str, float | None], theirs: Mapping[str, float | None]) -> Difference:
    """The norm of each parameter's gradient, relative to itself; None where a parameter is not trained."""
    worst = Difference("gradients", 0.0, 0.0, f"of {len(ours)} parameters")
    for name, own in ours.items():
        other = theirs[name]
        if own is None or other is None:
            if own is not other:
                return Difference("gradients", torch.inf, torch.inf, f"only one trains {name}")
            continue
        absolute = abs(own - other)
        if other > 0 and absolute / max(other, 1e-6) > worst.relative:
            worst = Difference("gradients", absolute, absolute / max(other, 1e-6), name)
    return worst
