"""RetinaNet's head: classes and a box for every anchor of every cell, without a second look.

Lin et al., Focal Loss for Dense Object Detection, arXiv:1708.02002, section 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder, at_least_float32, take_rows
from hrdet_cli.engine.models.boxes.denominators import denominator
from hrdet_cli.engine.models.boxes.focal_loss import FocalLoss
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.boxes.matching import Matcher, Matches
from hrdet_cli.engine.models.boxes.overlap_loss import OverlapLoss
from hrdet_cli.engine.models.boxes.ranking import best_pairs
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator, Anchors
from hrdet_cli.engine.models.dense.cells import grids_of, rows_of_cells
from hrdet_cli.engine.models.dense.towers import initialise_convs, run_output, run_towers
from hrdet_cli.engine.models.normed_convs import ConvTower, NormChoice
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.winograd import Conv2d
from hrdet_cli.engine.structures import Candidates, ClassRows, ImageBatch, Targets

Averaging = Literal["batch", "picture"]


@dataclass(frozen=True, slots=True)
class RetinaPredictions:
    """What the head says about each anchor.

    Attributes:
        anchors: The A anchors.
        logits: Of each level ``(N, A of the level, K)``, in the dtype of the network: they are many.
        deltas: ``(N, A, 4)`` float32, encoded relative to the anchors.
    """

    anchors: Anchors
    logits: tuple[Tensor, ...]
    deltas: Tensor


class RetinaHead(nn.Module):
    """Two towers of 3x3 convolutions, one for classes and one for boxes, the same for every pyramid level.

    The classes' output has a block of K channels for each anchor of a cell, the boxes' one of four.
    """

    matching_loss = "retina_box"
    """Name of a loss that is zero in a step in which no anchor matched a box."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        channels: int,
        num_convs: int,
        norm: NormChoice | None,
        prior_probability: float,
        anchor_generator: AnchorGenerator,
        coder: BoxCoder,
        matcher: Matcher,
        allowed_border: float | None,
        class_loss: FocalLoss,
        box_loss: BoxLoss | OverlapLoss,
        averaging: Averaging,
        num_candidates_per_level: int,
    ) -> None:
        """Create the head with normally distributed weights (standard deviation 0.01).

        Args:
            in_channels: Of every pyramid level.
            num_classes: K; there is no background among them.
            channels: Of the towers.
            num_convs: Convolutions in each tower.
            norm: What follows each of them.
            prior_probability: Of every class at every anchor before anything is learned, so that the many
                anchors on nothing do not outshout the others in the first steps.
            anchor_generator: Lays the anchors; one stride for each level.
            coder: Between boxes and deltas relative to anchors.
            matcher: Anchors to ground truth; those that it leaves between are not trained on.
            allowed_border: As of ``RegionProposalNetwork``.
            class_loss: On all other anchors.
            box_loss: On positives: on their deltas, or on the boxes that these make.
            averaging: What sums are divided by. ``"batch"``: the positives of all pictures together, where
                a picture without any counts as one (mmdetection). ``"picture"``: the mean of what pictures
                give with their own positives each (torchvision).
            num_candidates_per_level: The best pairs of an anchor and a class enter the selection.
        """
        super().__init__()
        self.class_convs = ConvTower(in_channels, channels=channels, num_convs=num_convs, norm=norm)
        self.box_convs = ConvTower(in_channels, channels=channels, num_convs=num_convs, norm=norm)
        num_shapes = anchor_generator.num_per_cell
        self.class_logits = Conv2d(self.class_convs.out_channels, num_shapes * num_classes, 3, padding=1)
        self.deltas = Conv2d(self.box_convs.out_channels, num_shapes * 4, 3, padding=1)
        initialise_convs(self, classifier=self.class_logits, prior_probability=prior_probability)
        self.num_classes = num_classes
        self.anchor_generator = anchor_generator
        self.coder = coder
        self.matcher = matcher
        self.allowed_border = allowed_border
        self.class_loss = class_loss
        self.box_loss = box_loss
        self.averaging = averaging
        self.num_candidates_per_level = num_candidates_per_level

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """Layers whose rows are classes, by name."""
        return {"class_logits": ClassRows(per_class=self.anchor_generator.num_per_cell)}

    def forward(self, pyramid: Pyramid) -> RetinaPredictions:
        """Predict for every anchor.

        Args:
            pyramid: With a level for each stride of the anchors.
        """
        class_maps, box_maps = run_towers((self.class_convs, self.box_convs), pyramid)
        run = run_output(self)
        logits = tuple(rows_of_cells(run(self.class_logits, x), width=self.num_classes) for x in class_maps)
        deltas = [rows_of_cells(run(self.deltas, x), width=4) for x in box_maps]
        return RetinaPredictions(
            anchors=self.anchor_generator(grids_of(pyramid.levels)),
            logits=logits,
            deltas=at_least_float32(torch.cat(deltas, dim=1)),
        )

    def losses(self, pyramid: Pyramid, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        """Losses on all anchors of the pictures.

        Args:
            pyramid: Of N pictures.
            images: Their sizes say which anchors take part.
            targets: Ground truth.

        Returns:
            Scalars ``retina_class`` and ``retina_box``.
        """
        predictions = cast("RetinaPredictions", self(pyramid))
        anchors = predictions.anchors
        takes_part = anchors.belong_to(images.sizes)
        if self.allowed_border is not None:
            takes_part = takes_part & anchors.lie_inside(images.sizes, border=self.allowed_border)
        matches = self.matcher.match(anchors.boxes[None], takes_part, targets)
        labels = take_rows(targets.labels, matches.target_index).where(matches.is_positive, self.num_classes)
        of_levels = zip(
            predictions.logits,
            torch.split(labels, anchors.level_lengths, dim=1),
            torch.split(matches.is_positive | matches.is_negative, anchors.level_lengths, dim=1),
            strict=True,
        )
        class_sums = torch.stack([self.class_loss(*of_level) for of_level in of_levels]).sum(dim=0)
        num_positive = matches.is_positive.sum(dim=1).to(class_sums.dtype).clamp(min=1)
        return {
            "retina_class": self._average(class_sums, num_positive),
            "retina_box": self._average(self._box_sums(predictions, matches, targets), num_positive),
        }

    def _box_sums(self, predictions: RetinaPredictions, matches: Matches, targets: Targets) -> Tensor:
        """``(N,)``: each picture's sum over its positives."""
        deltas, anchors = predictions.deltas, predictions.anchors.boxes
        wanted = take_rows(targets.boxes, matches.target_index).to(deltas.dtype)
        if isinstance(self.box_loss, OverlapLoss):
            boxes = self.coder.decode(deltas, anchors)
            return self.box_loss(boxes, wanted, matches.is_positive.to(deltas.dtype)).sum(dim=1)
        wanted = self.coder.encode(wanted, anchors)
        return self.box_loss.of_each(deltas, wanted, matches.is_positive).sum(dim=(1, 2))

    def _average(self, sums: Tensor, num_positive: Tensor) -> Tensor:
        """What ``averaging`` says, over the pictures of all processes; both are ``(N,)``."""
        if self.averaging == "batch":
            return sums.sum() / denominator(num_positive.sum(), what="number of positives")
        num_pictures = torch.ones_like(num_positive).sum()
        return (sums / num_positive).sum() / denominator(num_pictures, what="number of pictures")

    def candidates(self, pyramid: Pyramid, sizes: Tensor) -> Candidates:
        """The boxes of the anchors with the best scores, level by level.

        Args:
            pyramid: Of N pictures.
            sizes: ``(N, 2)`` int64, height and width of each picture.

        Returns:
            A row for each anchor that has one of its level's best pairs; scores of its other classes are 0.
        """
        predictions = cast("RetinaPredictions", self(pyramid))
        anchors = predictions.anchors
        boxes, scores = [], []
        for logits, deltas, may_propose, references in zip(
            predictions.logits,
            torch.split(predictions.deltas, anchors.level_lengths, dim=1),
            torch.split(anchors.may_propose_in(sizes), anchors.level_lengths, dim=1),
            torch.split(anchors.boxes, anchors.level_lengths),
            strict=True,
        ):
            rows, is_best = best_pairs(logits, may_propose, self.num_candidates_per_level)
            boxes.append(self.coder.decode(take_rows(deltas, rows), references[rows]))
            scores.append(at_least_float32(take_rows(logits, rows)).sigmoid().where(is_best, 0.0))
        return Candidates(boxes=torch.cat(boxes, dim=1)[:, :, None], scores=torch.cat(scores, dim=1))
