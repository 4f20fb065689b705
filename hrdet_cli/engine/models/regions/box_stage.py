"""What is in each region, and where exactly? A few layers that look at pooled features.

Names of tensors: ``convs.0.weight``, ``convs.0.norm.weight`` and so on as of a ``ConvTower``, and those of
``fc1``, ``fc2``, ``classifier`` and ``regressor``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder, at_least_float32, take_rows
from hrdet_cli.engine.models.boxes.denominators import denominator
from hrdet_cli.engine.models.boxes.losses import BoxLoss, class_loss, class_losses
from hrdet_cli.engine.models.dense.proposals import Proposals
from hrdet_cli.engine.models.normed_convs import ConvTower, NormChoice
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.models.regions.region_draw import DrawnRegions
from hrdet_cli.engine.norm.recompute import StatisticsHeld
from hrdet_cli.engine.norm.valid_area import ValidRegions
from hrdet_cli.engine.numerics import run_exactly
from hrdet_cli.engine.structures import Candidates, ClassRows, Targets


@dataclass(frozen=True, slots=True)
class RegionPredictions:
    """What a stage says of R regions in each of N pictures.

    Float32 whatever the pyramid's dtype, or float64 where that is float64.

    Attributes:
        logits: ``(N, R, K + 1)``, the background last.
        deltas: ``(N, R, K, 4)``, encoded relative to the regions; ``(N, R, 1, 4)`` if boxes are
            class-agnostic.
    """

    logits: Tensor
    deltas: Tensor


@dataclass(frozen=True, slots=True)
class RegionLosses:
    """Losses of a stage, scalars.

    Attributes:
        classes: On the class logits of all drawn regions.
        boxes: On the deltas of drawn positives.
    """

    classes: Tensor
    boxes: Tensor


class BoxStage(nn.Module):
    """RoIAlign, fully connected layers, a classifier and a box regressor.

    Convolutions may come before them, as in torchvision's version 2 and in Group Normalization
    (https://arxiv.org/abs/1803.08494, section 4.2), which have four and a single fully connected layer.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        pooling: RegionPooling,
        num_convs: int = 0,
        conv_channels: int = 256,
        norm: NormChoice | None = None,
        num_hidden_layers: Literal[1, 2] = 2,
        hidden_features: int = 1024,
        class_agnostic_boxes: bool = False,
        coder: BoxCoder,
        box_loss: BoxLoss,
    ) -> None:
        """Create the stage with zero biases; convolutions He, fully connected layers Xavier, outputs normal.

        Args:
            in_channels: Channels of the pyramid.
            num_classes: K, without the background.
            pooling: Cuts regions out of the pyramid.
            num_convs: 3x3 convolutions before the fully connected layers.
            conv_channels: Of each.
            norm: What follows each; regions that are padding do not count.
            num_hidden_layers: Fully connected layers before the two outputs.
            hidden_features: Width of these.
            class_agnostic_boxes: The regressor gives a region one box, not one for each class.
            coder: Between boxes and deltas relative to regions.
            box_loss: On the deltas of drawn positives.
        """
        super().__init__()
        self.convs = ConvTower(in_channels, channels=conv_channels, num_convs=num_convs, norm=norm)
        self.fc1 = nn.Linear(self.convs.out_channels * pooling.cells**2, hidden_features)
        self.fc2 = nn.Linear(hidden_features, hidden_features) if num_hidden_layers == 2 else None
        self.classifier = nn.Linear(hidden_features, num_classes + 1)
        self.regressor = nn.Linear(hidden_features, 4 if class_agnostic_boxes else num_classes * 4)
        self._draw_weights()
        self.num_classes = num_classes
        self.pooling = pooling
        self.coder = coder
        self.box_loss = box_loss
        self.counts_regions = norm == "batch"

    def _draw_weights(self) -> None:
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(layer, nn.Linear) and layer not in (self.classifier, self.regressor):
                nn.init.xavier_uniform_(layer.weight)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.normal_(self.regressor.weight, std=0.001)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
                nn.init.zeros_(layer.bias)

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """Layers whose rows are classes, by name; the background's row is the classifier's last.

        Where boxes are class-agnostic the regressor has the rows of one class, whatever K is.
        """
        return {"classifier": ClassRows(per_class=1, others=1), "regressor": ClassRows(per_class=4)}

    def forward(self, pyramid: Pyramid, regions: Proposals | DrawnRegions) -> RegionPredictions:
        """Look at regions.

        Args:
            pyramid: Of N pictures.
            regions: R of them in each.
        """
        counted = ValidRegions(regions.is_valid.flatten()) if self.counts_regions and self.training else None
        (maps,) = self.convs([self.pooling(pyramid, regions.boxes)], counted)
        hidden = F.relu(self.fc1(maps.flatten(1)), inplace=True)
        if self.fc2 is not None:
            hidden = F.relu(self.fc2(hidden), inplace=True)
        logits = at_least_float32(run_exactly(self.classifier, hidden))
        deltas = at_least_float32(run_exactly(self.regressor, hidden))
        shape = regions.boxes.shape[:2]
        return RegionPredictions(
            logits=logits.view(*shape, self.num_classes + 1),
            deltas=deltas.view(*shape, self.regressor.out_features // 4, 4),
        )

    @torch.no_grad()
    def class_losses(self, pyramid: Pyramid, regions: Proposals, labels: Tensor) -> Tensor:
        """How wrong the classifier is about regions: cross entropy of each, without a gradient.

        Norms record nothing of it.

        Args:
            pyramid: Of N pictures.
            regions: R of them in each.
            labels: ``(N, R)`` int64 in ``0 .. K``, what they should be classified as.

        Returns:
            ``(N, R)``.
        """
        with StatisticsHeld(self):
            return class_losses(self(pyramid, regions).logits, labels)

    def losses(self, predictions: RegionPredictions, drawn: DrawnRegions, targets: Targets) -> RegionLosses:
        """Losses on drawn regions, divided by how many were drawn.

        Args:
            predictions: Of the drawn regions.
            drawn: What they are to learn.
            targets: Ground truth.
        """
        wanted = self.coder.encode(take_rows(targets.boxes, drawn.target_index), drawn.boxes)
        num_drawn = denominator(drawn.is_valid.sum(dtype=predictions.logits.dtype), what="number of samples")
        return RegionLosses(
            classes=class_loss(predictions.logits, drawn.labels, drawn.is_valid) / num_drawn,
            boxes=self.box_loss(_deltas_of(predictions, drawn.labels), wanted, drawn.is_positive) / num_drawn,
        )

    def candidates(self, predictions: RegionPredictions, regions: Proposals) -> Candidates:
        """What each region would be as an object of each class.

        Args:
            predictions: Of the regions.
            regions: R of them in each of N pictures.
        """
        boxes = self.coder.decode(predictions.deltas, regions.boxes[:, :, None])
        boxes = boxes.expand(-1, -1, self.num_classes, -1)
        scores = predictions.logits.softmax(dim=-1)[..., :-1]
        return Candidates(boxes=boxes, scores=scores.where(regions.is_valid[..., None], 0.0))


def _deltas_of(predictions: RegionPredictions, labels: Tensor) -> Tensor:
    """``(N, R, 4)``: each region's deltas for its class, or any of them if that is the background."""
    num_boxes = predictions.deltas.shape[2]
    index = labels.clamp(max=num_boxes - 1)[..., None, None].expand(-1, -1, 1, 4)
    return predictions.deltas.gather(2, index).squeeze(2)
