"""FCOS's head: classes, four distances and a centreness for a point in every cell.

Tian et al., FCOS: Fully Convolutional One-Stage Object Detection, arXiv:1904.01355.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.models.boxes.arithmetic import at_least_float32, take_rows
from hrdet_cli.engine.models.boxes.denominators import denominator
from hrdet_cli.engine.models.boxes.focal_loss import FocalLoss
from hrdet_cli.engine.models.boxes.overlap_loss import OverlapLoss
from hrdet_cli.engine.models.boxes.ranking import best_pairs
from hrdet_cli.engine.models.dense.cells import grids_of, rows_of_cells
from hrdet_cli.engine.models.dense.point_layout import PointLayout
from hrdet_cli.engine.models.dense.point_matching import PointMatcher, boxes_around, distances_to_sides
from hrdet_cli.engine.models.dense.points import Points, lay_points
from hrdet_cli.engine.models.dense.towers import initialise_convs, run_output, run_towers
from hrdet_cli.engine.models.normed_convs import ConvTower, NormChoice
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.winograd import Conv2d
from hrdet_cli.engine.structures import Candidates, ClassRows, ImageBatch, Targets

_LEAST_CENTRENESS = 1e-6
"""Of all positives together, where it divides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PointScoring:
    """How a class's score and the centreness make the score of a detection.

    Attributes:
        rule: ``"product"``: classes are ranked and held against the threshold by their own scores; what
            passes is multiplied by the centreness, and may end up below the threshold (the paper, mmdetection
            to its version 3). ``"geometric_mean"``: the root of the product does all of that (the authors'
            later code, torchvision).
        score_threshold: A pair of a point and a class whose score, by that rule, is not above this is out.
        num_candidates_per_level: The best pairs enter the selection.
    """

    rule: Literal["product", "geometric_mean"]
    score_threshold: float
    num_candidates_per_level: int

    def best(self, logits: Tensor, centreness: Tensor, may_find: Tensor) -> tuple[Tensor, Tensor]:
        """The points with the best pairs of a level.

        Args:
            logits: ``(N, A, K)`` of the classes.
            centreness: ``(N, A)``, logits too.
            may_find: ``(N, A)`` bool, at which points anything may be found.

        Returns:
            Which points, ``(N, R)`` int64, and their scores, ``(N, R, K)``, 0 but for the best pairs.
        """
        logits, shares = at_least_float32(logits), at_least_float32(centreness).sigmoid()[..., None]
        ranked = logits if self.rule == "product" else (logits.sigmoid() * shares).sqrt()
        rows, is_best = best_pairs(ranked, may_find, self.num_candidates_per_level)
        scores = take_rows(ranked, rows)
        if self.rule == "product":
            scores = scores.sigmoid()
        scores = scores.where(is_best & (scores > self.score_threshold), 0.0)
        return rows, scores * take_rows(shares, rows) if self.rule == "product" else scores


@dataclass(frozen=True, slots=True)
class PointPredictions:
    """What the head says about each point, levels joined.

    Attributes:
        points: The A points.
        logits: ``(N, A, K)`` in the dtype of the network.
        distances: ``(N, A, 4)`` float32, pixels to the left, top, right and bottom side.
        centreness: ``(N, A)`` float32 logits.
    """

    points: Points
    logits: Tensor
    distances: Tensor
    centreness: Tensor


class FcosHead(nn.Module):
    """Two towers of 3x3 convolutions, one for classes and one for boxes, the same for every pyramid level."""

    matching_loss = "fcos_box"
    """Name of a loss that is zero in a step in which no point matched a box."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        strides: Sequence[int],
        channels: int,
        num_convs: int,
        norm: NormChoice | None,
        conv_bias: bool = False,
        prior_probability: float,
        point_layout: PointLayout,
        distances: Literal["exponential", "strides"],
        centreness_from: Literal["classes", "boxes"],
        matcher: PointMatcher,
        class_loss: FocalLoss,
        box_loss: OverlapLoss,
        box_loss_weights: Literal["centreness", "none"] = "centreness",
        scoring: PointScoring,
    ) -> None:
        """Create the head with normally distributed weights (standard deviation 0.01) and scales of 1.

        Args:
            in_channels: Of every pyramid level.
            num_classes: K; there is no background among them.
            strides: Of the pyramid's levels.
            channels: Of the towers.
            num_convs: Convolutions in each tower.
            norm: What follows each of them.
            conv_bias: Whether they have a bias in front of a norm, too, as in torchvision.
            prior_probability: Of every class at every point before anything is learned.
            point_layout: Where the points lie.
            distances: How they come out of the box tower's output, times a learned scale of its level: as the
                logarithm of pixels, or as strides, of which what is below 0 counts as 0.
            centreness_from: Which tower tells it.
            matcher: Points to ground truth.
            class_loss: On all points of the pictures.
            box_loss: On positives.
            box_loss_weights: What weighs it: the centreness that a point should have, as in the paper, or
                nothing, as in torchvision.
            scoring: Of detections.
        """
        super().__init__()
        self.class_convs, self.box_convs = (
            ConvTower(in_channels, channels=channels, num_convs=num_convs, norm=norm, has_bias=conv_bias)
            for _ in range(2)
        )
        out_channels = self.class_convs.out_channels
        self.class_logits = Conv2d(out_channels, num_classes, 3, padding=1)
        self.distances = nn.Conv2d(out_channels, 4, 3, padding=1)
        self.centreness = nn.Conv2d(out_channels, 1, 3, padding=1)
        self.scales = nn.ParameterList([nn.Parameter(torch.ones(())) for _ in strides])
        initialise_convs(self, classifier=self.class_logits, prior_probability=prior_probability)
        self.num_classes = num_classes
        self.strides = tuple(strides)
        self.point_layout = point_layout
        self.distances_are = distances
        self.centreness_from = centreness_from
        self.matcher = matcher
        self.class_loss = class_loss
        self.box_loss = box_loss
        self.box_loss_weights = box_loss_weights
        self.scoring = scoring

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """Layers whose rows are classes, by name."""
        return {"class_logits": ClassRows(per_class=1)}

    def forward(self, pyramid: Pyramid) -> PointPredictions:
        """Predict for every point.

        Args:
            pyramid: With a level for each stride.
        """
        class_maps, box_maps = run_towers((self.class_convs, self.box_convs), pyramid)
        central_maps = class_maps if self.centreness_from == "classes" else box_maps
        run = run_output(self)
        centreness = [rows_of_cells(run(self.centreness, x), width=1).squeeze(-1) for x in central_maps]
        distances = [
            self._distances(rows_of_cells(run(self.distances, x), width=4), scale, stride)
            for x, scale, stride in zip(box_maps, self.scales, self.strides, strict=True)
        ]
        logits = [rows_of_cells(run(self.class_logits, x), width=self.num_classes) for x in class_maps]
        grids, device = grids_of(pyramid.levels), pyramid.levels[0].device
        return PointPredictions(
            points=lay_points(grids, self.strides, layout=self.point_layout, device=device),
            logits=torch.cat(logits, dim=1),
            distances=torch.cat(distances, dim=1),
            centreness=at_least_float32(torch.cat(centreness, dim=1)),
        )

    def _distances(self, outputs: Tensor, scale: Tensor, stride: int) -> Tensor:
        """``(N, A of the level, 4)`` in pixels."""
        scaled = at_least_float32(outputs) * scale
        return scaled.exp() if self.distances_are == "exponential" else F.relu(scaled) * stride

    def losses(self, pyramid: Pyramid, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        """Losses on all points of the pictures.

        Args:
            pyramid: Of N pictures.
            images: Their sizes say which points take part.
            targets: Ground truth.

        Returns:
            Scalars ``fcos_class``, ``fcos_box`` and ``fcos_centreness``.
        """
        predictions = cast("PointPredictions", self(pyramid))
        places = predictions.points.places
        takes_part = predictions.points.belong_to(images.sizes)
        matches = self.matcher.match(predictions.points, takes_part, targets)
        is_positive = matches.is_positive
        labels = take_rows(targets.labels, matches.target_index).where(is_positive, self.num_classes)
        class_sum = self.class_loss(predictions.logits, labels, takes_part).sum()

        wanted = take_rows(targets.boxes, matches.target_index).to(predictions.distances.dtype)
        wanted_centreness = _centreness(distances_to_sides(places, wanted)).where(is_positive, 0.0)
        boxes = boxes_around(places, predictions.distances)
        is_weighted = self.box_loss_weights == "centreness"
        weights = wanted_centreness if is_weighted else is_positive.to(wanted_centreness.dtype)
        box_sum = self.box_loss(boxes, wanted, weights).sum()
        centreness = F.binary_cross_entropy_with_logits(
            predictions.centreness, wanted_centreness, reduction="none"
        )

        num_positive = denominator(is_positive.sum(dtype=class_sum.dtype), what="number of positives")
        total_weight = num_positive
        if is_weighted:
            total_weight = denominator(weights.sum(), what="centreness of positives", least=_LEAST_CENTRENESS)
        return {
            "fcos_class": class_sum / num_positive,
            "fcos_box": box_sum / total_weight,
            "fcos_centreness": (centreness * is_positive).sum() / num_positive,
        }

    def candidates(self, pyramid: Pyramid, sizes: Tensor) -> Candidates:
        """The boxes of the points with the best scores, level by level.

        Args:
            pyramid: Of N pictures.
            sizes: ``(N, 2)`` int64, height and width of each picture.

        Returns:
            A row for each point that has one of its level's best pairs; scores of its other classes are 0.
        """
        predictions = cast("PointPredictions", self(pyramid))
        points, lengths = predictions.points, predictions.points.level_lengths
        boxes, scores = [], []
        for logits, distances, centreness, may_find, places in zip(
            torch.split(predictions.logits, lengths, dim=1),
            torch.split(predictions.distances, lengths, dim=1),
            torch.split(predictions.centreness, lengths, dim=1),
            torch.split(points.may_find_in(sizes), lengths, dim=1),
            torch.split(points.places, lengths),
            strict=True,
        ):
            rows, level_scores = self.scoring.best(logits, centreness, may_find)
            boxes.append(boxes_around(places[rows], take_rows(distances, rows)))
            scores.append(level_scores)
        return Candidates(boxes=torch.cat(boxes, dim=1)[:, :, None], scores=torch.cat(scores, dim=1))


def _centreness(distances: Tensor) -> Tensor:
    """How central a point is in a box: 1 in the middle, 0 on an edge; equation 3 of the paper.

    Args:
        distances: ``(..., 4)`` to the sides; anything where the point is not inside.

    Returns:
        ``(...)``, 0 for points that are not inside.
    """
    near = torch.minimum(distances[..., :2], distances[..., 2:]).clamp(min=0)
    far = torch.maximum(distances[..., :2], distances[..., 2:])
    shares = near / far.where(far > 0, 1.0)
    return shares.prod(dim=-1).sqrt()
