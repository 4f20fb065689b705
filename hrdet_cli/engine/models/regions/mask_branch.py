"""Which cells of a region belong to the object in it? The mask branch of Mask R-CNN.

He et al., https://arxiv.org/abs/1703.06870, section 3 and figure 4, right.

Names of tensors: ``convs.I.weight`` and so on as ``ConvTower`` has them, ``upsample.weight``,
``logits.weight``; ``conv_res.weight`` where a branch takes another one's features.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.models.boxes.arithmetic import at_least_float32, take_rows
from hrdet_cli.engine.models.boxes.denominators import denominator
from hrdet_cli.engine.models.boxes.static_shapes import has_static_shapes
from hrdet_cli.engine.models.normed_convs import ConvTower, NormChoice, NormedConv
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.mask_targets import mask_targets
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.models.regions.region_draw import DrawnRegions
from hrdet_cli.engine.norm.valid_area import ValidRegions
from hrdet_cli.engine.structures import ClassRows, Detections, Targets

_UPSAMPLING = 2


class MaskBranch(nn.Module):
    """RoIAlign, 3x3 convolutions, a transposed one that doubles the side, and a logit for each class.

    Of a region's masks only that of one class is ever asked for: the class of its object in training, and the
    one that was found in detection. So only that one is computed.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_classes: int,
        pooling: RegionPooling,
        num_convs: int = 4,
        channels: int = 256,
        norm: NormChoice | None = None,
        takes_features: bool = False,
    ) -> None:
        """Create the branch with zero biases; weights of He et al., but small ones of the logits.

        Logits near zero make every mask a coin toss at first, as detectron2 has it. mmdetection draws them as
        the other layers, from a distribution that is the wider the fewer classes there are.

        Args:
            in_channels: Channels of the pyramid.
            num_classes: K, without the background.
            pooling: Cuts regions out of the pyramid; a mask has twice its cells along a side.
            num_convs: 3x3 convolutions in front of the one that doubles the side.
            channels: Of each.
            norm: What follows each of them.
            takes_features: Whether features of another branch are added to the pooled ones, as in HTC.
        """
        super().__init__()
        self.convs = ConvTower(in_channels, channels=channels, num_convs=num_convs, norm=norm)
        self.upsample = nn.ConvTranspose2d(
            self.convs.out_channels, channels, kernel_size=_UPSAMPLING, stride=_UPSAMPLING
        )
        self.logits = nn.Conv2d(channels, num_classes, kernel_size=1)
        self.conv_res = (
            NormedConv(self.convs.out_channels, in_channels, kernel_size=1, norm=norm)
            if takes_features
            else None
        )
        hidden = (*self.convs, self.upsample, *(() if self.conv_res is None else (self.conv_res,)))
        for layer in hidden:
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        nn.init.normal_(self.logits.weight, std=0.001)
        for layer in (*hidden, self.logits):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        self.pooling = pooling
        self.norm = norm

    @property
    def class_rows(self) -> Mapping[str, ClassRows]:
        """The layer whose rows are classes, by name."""
        return {"logits": ClassRows(per_class=1)}

    @property
    def mask_cells(self) -> int:
        """m, cells along a side of a mask."""
        return self.pooling.cells * _UPSAMPLING

    def forward(
        self, pyramid: Pyramid, regions: Tensor, labels: Tensor, is_valid: Tensor | None = None
    ) -> Tensor:
        """The mask of each region as an object of one class.

        Args:
            pyramid: Of N pictures.
            regions: ``(N, R, 4)`` float32 in canvas pixels.
            labels: ``(N, R)`` int64 in ``0 .. K-1``.
            is_valid: ``(N, R)`` bool, which regions batch norms count; None counts all.

        Returns:
            Logits ``(N, R, m, m)``, float32 whatever the pyramid's dtype, or float64 where that is float64.
        """
        features = self.features(self.pooling(pyramid, regions), is_valid)
        logits = self.logits_of(features, labels.flatten())
        return logits.view(*labels.shape, self.mask_cells, self.mask_cells)

    def features(self, pooled: Tensor, is_valid: Tensor | None, earlier: Tensor | None = None) -> Tensor:
        """What the 3x3 convolutions make of pooled features.

        Args:
            pooled: ``(R, C, cells, cells)``.
            is_valid: Of as many regions, in any shape; None where all count.
            earlier: What another branch made of them; for one that takes features.
        """
        area = ValidRegions(is_valid.flatten()) if is_valid is not None and self.norm == "batch" else None
        if self.conv_res is not None and earlier is not None:
            pooled = pooled + F.relu(self.conv_res(earlier, area))
        features: Tensor = self.convs([pooled], area)[0]
        return features

    def logits_of(self, features: Tensor, labels: Tensor) -> Tensor:
        """``(R, m, m)`` logits of one class for each region.

        Args:
            features: As ``features`` makes them.
            labels: ``(R,)`` int64.
        """
        upsampled = F.relu(self.upsample(features), inplace=True)
        weights, biases = self.logits.weight.flatten(1)[labels], cast("Tensor", self.logits.bias)[labels]
        own: Tensor = torch.einsum("rchw,rc->rhw", upsampled, weights)
        return at_least_float32(own + biases[:, None, None])

    def loss(self, pyramid: Pyramid, drawn: DrawnRegions, targets: Targets) -> Tensor:
        """Binary cross entropy of the drawn positives' masks; see ``mask_loss``.

        Args:
            pyramid: Of N pictures.
            drawn: What the box stage is trained on; positives are the first of each picture's slots.
            targets: Ground truth.
        """
        drawn = positive_slots(drawn)
        logits = self(pyramid, drawn.boxes, labels_of(drawn), drawn.is_positive)
        return mask_loss(logits, drawn, targets)

    def complete(self, pyramid: Pyramid, found: Detections) -> Detections:
        """Give detections their masks.

        Args:
            pyramid: Of N pictures.
            found: In these, padding rows last.
        """
        return with_masks(found, lambda boxes, labels: self(pyramid, boxes, labels).sigmoid())


def positive_slots(drawn: DrawnRegions) -> DrawnRegions:
    """Drawn regions without slots in which no picture has a positive, where there is nothing to wait for.

    They all stay where shapes are static; see ``RegionPooling``.
    """
    if has_static_shapes(drawn.boxes):
        return drawn
    return drawn.first(max(1, int(drawn.is_positive.sum(dim=1).max())))


def labels_of(drawn: DrawnRegions) -> Tensor:
    """``(N, S)`` int64 in ``0 .. K-1``: what drawn regions are masks of; any class where not positive."""
    return drawn.labels.where(drawn.is_positive, 0)


def mask_loss(logits: Tensor, drawn: DrawnRegions, targets: Targets) -> Tensor:
    """Binary cross entropy, the mean over all cells of the positives of all processes.

    Args:
        logits: ``(N, S, m, m)`` of the drawn regions, each of its own class.
        drawn: What they are to learn.
        targets: Ground truth.

    Returns:
        Scalar; without positives it is 0, with a gradient of 0.

    Raises:
        ValueError: The ground truth has no masks.
    """
    if targets.masks is None:
        raise ValueError("a mask branch cannot be trained on targets without masks")
    is_positive = drawn.is_positive
    # A slot that is not positive has any box of the ground truth: one far away would need many samples.
    boxes = take_rows(targets.boxes, drawn.target_index).where(is_positive[..., None], drawn.boxes)
    wanted = mask_targets(
        drawn.boxes.flatten(0, 1),
        boxes.flatten(0, 1),
        take_rows(targets.masks, drawn.target_index).flatten(0, 1),
        num_cells=logits.shape[-1],
    )
    losses = F.binary_cross_entropy_with_logits(
        logits, wanted.view_as(logits).to(logits.dtype), reduction="none"
    )
    num_positive = denominator(is_positive.sum().to(losses.dtype), what="number of masks")
    return (losses.mean(dim=(2, 3)) * is_positive).sum() / num_positive


def with_masks(found: Detections, masks_of: Callable[[Tensor, Tensor], Tensor]) -> Detections:
    """Give detections their masks.

    Args:
        found: Padding rows last.
        masks_of: From boxes ``(N, D, 4)`` and labels ``(N, D)`` to probabilities ``(N, D, m, m)``.
    """
    num_rows = found.boxes.shape[1]
    # As many as the fullest picture has; an exported graph has no padding rows and cannot ask.
    is_static = has_static_shapes(found.boxes) or torch.compiler.is_exporting()
    count = num_rows if is_static else int(found.is_valid.sum(dim=1).max())
    masks = masks_of(found.boxes[:, :count], found.labels[:, :count])
    masks = masks * found.is_valid[:, :count, None, None]
    return replace(found, masks=F.pad(masks, (0, 0, 0, 0, 0, num_rows - count)))
