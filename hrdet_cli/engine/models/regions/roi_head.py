"""Region head: what is in each proposed region, and where exactly?"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder, at_least_float32, take_rows
from hrdet_cli.engine.models.boxes.losses import BoxLoss, class_loss, denominator
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import Sampler
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.dense.proposals import Proposals
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.structures import Candidates, ClassRows, ImageBatch, Targets

_FIRST_TARGET_NUMBER = 2**30
"""Beyond any number of proposals."""


class RoIHead(nn.Module):
    """RoIAlign, two fully connected layers, a classifier and a box regressor."""

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        pooling: RegionPooling,
        hidden_features: int = 1024,
        class_agnostic_boxes: bool = False,
        coder: BoxCoder,
        matcher: Matcher,
        sampler: Sampler,
        box_loss: BoxLoss,
        selector: DetectionSelector,
    ) -> None:
        """Create the head with zero biases; fully connected layers Xavier, the two outputs normal.

        Args:
            in_channels: Channels of the pyramid.
            num_classes: K, without the background.
            pooling: Cuts regions out of the pyramid.
            hidden_features: Width of the two fully connected layers.
            class_agnostic_boxes: The regressor gives a region one box, not one for each class.
            coder: Between boxes and deltas relative to regions.
            matcher: Regions to ground truth.
            sampler: Draws the regions that are looked at in training.
            box_loss: On the deltas of drawn positives.
            selector: Makes detections of predictions.
        """
        super().__init__()
        self.fc1 = nn.Linear(in_channels * pooling.cells**2, hidden_features)
        self.fc2 = nn.Linear(hidden_features, hidden_features)
        self.classifier = nn.Linear(hidden_features, num_classes + 1)
        self.regressor = nn.Linear(hidden_features, 4 if class_agnostic_boxes else num_classes * 4)
        nn.init.xavier_uniform_(self.fc1.weight)
        nn.init.xavier_uniform_(self.fc2.weight)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.normal_(self.regressor.weight, std=0.001)
        for layer in (self.fc1, self.fc2, self.classifier, self.regressor):
            nn.init.zeros_(layer.bias)
        self.num_classes = num_classes
        self.pooling = pooling
        self.coder = coder
        self.matcher = matcher
        self.sampler = sampler
        self.box_loss = box_loss
        self.selector = selector

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """Layers whose rows are classes, by name; the background's row is the classifier's last.

        Where boxes are class-agnostic the regressor has the rows of one class, whatever K is.
        """
        return {"classifier": ClassRows(per_class=1, others=1), "regressor": ClassRows(per_class=4)}

    def forward(self, pyramid: Pyramid, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Look at regions.

        Args:
            pyramid: Of N pictures.
            regions: ``(N, R, 4)`` float32 in canvas pixels.

        Returns:
            Class logits ``(N, R, K + 1)``, the background last, and deltas ``(N, R, K, 4)`` for each class
            (the same for all if boxes are class-agnostic), both float32 whatever the pyramid's dtype, or
            float64 where that is float64.
        """
        hidden = self.pooling(pyramid, regions).flatten(1)
        hidden = F.relu(self.fc1(hidden), inplace=True)
        hidden = F.relu(self.fc2(hidden), inplace=True)
        logits = at_least_float32(self.classifier(hidden))
        deltas = at_least_float32(self.regressor(hidden))
        shape = regions.shape[:2]
        deltas = deltas.view(*shape, self.regressor.out_features // 4, 4)
        return logits.view(*shape, self.num_classes + 1), deltas.expand(-1, -1, self.num_classes, -1)

    def losses(
        self, pyramid: Pyramid, proposals: Proposals, images: ImageBatch, targets: Targets
    ) -> dict[str, Tensor]:
        """Losses on a random sample of regions.

        The ground truth itself is put in front of the proposals, so that there is something to find early on.

        Args:
            pyramid: Of N pictures.
            proposals: From the region proposal network.
            images: The pictures' keys say which regions are drawn.
            targets: Ground truth.

        Returns:
            Scalars ``roi_class`` and ``roi_box``.
        """
        candidates = torch.cat((targets.boxes, proposals.boxes), dim=1)
        is_candidate = torch.cat((targets.is_valid, proposals.is_valid), dim=1)
        matches = self.matcher.match(candidates, is_candidate, targets)
        sample = self.sampler.draw(matches, images.keys, _candidate_numbers(targets.boxes, proposals.boxes))
        regions = sample.pick(candidates)
        target_index = sample.pick(matches.target_index)
        wanted_boxes = take_rows(targets.boxes, target_index)
        found_labels = take_rows(targets.labels, target_index)
        labels = found_labels.where(sample.is_positive, self.num_classes)

        logits, deltas = self(pyramid, regions)
        class_index = found_labels[..., None, None].expand(-1, -1, 1, 4)
        deltas = deltas.gather(2, class_index).squeeze(2)
        wanted = self.coder.encode(wanted_boxes, regions)
        num_drawn = denominator(sample.is_valid.sum(dtype=logits.dtype), what="number of samples")
        return {
            "roi_class": class_loss(logits, labels, sample) / num_drawn,
            "roi_box": self.box_loss(deltas, wanted, sample.is_positive) / num_drawn,
        }

    def candidates(self, pyramid: Pyramid, proposals: Proposals) -> Candidates:
        """What each region would be as an object of each class.

        Args:
            pyramid: Of N pictures.
            proposals: From the region proposal network.
        """
        logits, deltas = self(pyramid, proposals.boxes)
        boxes = self.coder.decode(deltas, proposals.boxes[:, :, None])
        scores = logits.softmax(dim=-1)[..., :-1]
        return Candidates(boxes=boxes, scores=scores.where(proposals.is_valid[..., None], 0.0))


def _candidate_numbers(targets: Tensor, proposals: Tensor) -> Tensor:
    """``(G + R,)`` int64: numbers that do not depend on how many rows G the batch's targets are padded to."""
    of_targets = torch.arange(targets.shape[1], device=targets.device) + _FIRST_TARGET_NUMBER
    return torch.cat((of_targets, torch.arange(proposals.shape[1], device=targets.device)))
