"""What our points are to learn, beside what another detector's learn."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.arithmetic import take_rows
from hrdet_cli.engine.models.boxes.matching import Matches
from hrdet_cli.engine.models.dense.point_matching import PointMatcher, distances_to_sides
from hrdet_cli.engine.models.dense.points import Points
from hrdet_cli.engine.structures import Targets
from tests.parity.differences import Difference, difference, share_of_different
from tests.parity.filling import NUM_CLASSES


@contextmanager
def heard_points() -> Iterator[list[tuple[Points, Matches]]]:
    """What points are matched, and with what."""
    heard: list[tuple[Points, Matches]] = []
    match = PointMatcher.match

    def listen(matcher: PointMatcher, points: Points, is_candidate: Tensor, targets: Targets) -> Matches:
        heard.append((points, match(matcher, points, is_candidate, targets)))
        return heard[-1][1]

    with mock.patch.object(PointMatcher, "match", listen):
        yield heard


def of_points(
    points: Points, matches: Matches, targets: Targets, labels: Sequence[Tensor], distances: Sequence[Tensor]
) -> Iterator[Difference]:
    """Labels of all points, and distances to the sides of the boxes that positives learn.

    Args:
        points: Ours.
        matches: With the ground truth.
        targets: The ground truth.
        labels: Theirs of each level, ``(N * points of the level,)``.
        distances: Likewise, ``(N * points of the level, 4)``.
    """
    boxes = take_rows(targets.boxes, matches.target_index)
    own_labels = take_rows(targets.labels, matches.target_index).where(matches.is_positive, NUM_CLASSES)
    own_distances = distances_to_sides(points.places, boxes)
    own = _by_level(own_labels, points)
    of = f"points, {int((own != NUM_CLASSES).sum())} positive"
    yield share_of_different("targets of points", own, torch.cat(list(labels)), of=of)
    is_positive = _by_level(matches.is_positive, points)
    pair = (_by_level(own_distances, points)[is_positive], torch.cat(list(distances))[is_positive])
    yield difference("distances of positive points", *pair)


def _by_level(rows: Tensor, points: Points) -> Tensor:
    """``(N, A, ...)`` to ``(N * A, ...)``, level by level, in a level picture by picture."""
    return torch.cat([level.flatten(0, 1) for level in torch.split(rows, points.level_lengths, dim=1)])
