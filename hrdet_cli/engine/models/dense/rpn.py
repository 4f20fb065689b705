"""Region proposal network: where in a picture is anything at all?

Names of tensors: ``conv.weight`` and so on as of a ``NormedConv``, with numbers where there are several
(``conv.0.weight``, ``conv.1.weight``), and those of ``objectness`` and ``deltas``.
"""

from typing import cast

import torch
from torch import Tensor, nn

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder, at_least_float32, take_rows
from hrdet_cli.engine.models.boxes.denominators import denominator
from hrdet_cli.engine.models.boxes.losses import BoxLoss, objectness_loss
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import Sampler
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator
from hrdet_cli.engine.models.dense.cells import grids_of, rows_of_cells
from hrdet_cli.engine.models.dense.proposals import AnchorPredictions, Proposals, ProposalSelector
from hrdet_cli.engine.models.normed_convs import NormChoice, NormedConv, tower_steps
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.norm.in_step import run_in_step
from hrdet_cli.engine.numerics import run_exactly
from hrdet_cli.engine.structures import ImageBatch, Targets


class RegionProposalNetwork(nn.Module):
    """A 3x3 convolution, or several, and two 1x1 ones, the same for every pyramid level.

    Section 3.1 of Faster R-CNN (https://arxiv.org/abs/1506.01497); torchvision's version 2 has two 3x3 ones.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        num_convs: int = 1,
        norm: NormChoice | None = None,
        anchor_generator: AnchorGenerator,
        coder: BoxCoder,
        matcher: Matcher,
        sampler: Sampler,
        box_loss: BoxLoss,
        allowed_border: float | None,
        training_selector: ProposalSelector,
        test_selector: ProposalSelector,
    ) -> None:
        """Create the network with normally distributed weights (standard deviation 0.01) and zero biases.

        Args:
            in_channels: Channels of every pyramid level.
            num_convs: 3x3 convolutions, each with a ReLU; at least one.
            norm: What follows each of them.
            anchor_generator: Lays the anchors; one stride for each level.
            coder: Between boxes and deltas relative to anchors.
            matcher: Anchors to ground truth.
            sampler: Draws the anchors the losses look at.
            box_loss: On the deltas of drawn positives.
            allowed_border: An anchor trains only if it reaches at most this many pixels out of its picture;
                None lets every anchor of the picture train.
            training_selector: Makes proposals of predictions in training mode.
            test_selector: Likewise in evaluation mode.
        """
        super().__init__()
        convs = [NormedConv(in_channels, in_channels, norm=norm) for _ in range(num_convs)]
        self.conv = convs[0] if num_convs == 1 else nn.ModuleList(convs)
        self.objectness = nn.Conv2d(in_channels, anchor_generator.num_per_cell, 1)
        self.deltas = nn.Conv2d(in_channels, anchor_generator.num_per_cell * 4, 1)
        for name, parameter in self.named_parameters():
            if "norm" not in name:
                nn.init.normal_(parameter, std=0.01 if name.endswith("weight") else 0.0)
        self.anchor_generator = anchor_generator
        self.coder = coder
        self.matcher = matcher
        self.sampler = sampler
        self.box_loss = box_loss
        self.allowed_border = allowed_border
        self.training_selector = training_selector
        self.test_selector = test_selector

    def forward(self, pyramid: Pyramid) -> AnchorPredictions:
        """Predict for every anchor.

        Args:
            pyramid: With a level for each stride of the anchors.

        Returns:
            Float32 predictions, whatever the pyramid's dtype; float64 of a float64 one.
        """
        logits, deltas = [], []
        convs = [self.conv] if isinstance(self.conv, NormedConv) else [*self.conv]
        towers = [
            tower_steps(cast("list[NormedConv]", convs), level, pyramid.area) for level in pyramid.levels
        ]
        for hidden in run_in_step(towers, pyramid.area):
            hidden = hidden.to(self.objectness.weight.dtype)  # once for both outputs
            logits.append(rows_of_cells(run_exactly(self.objectness, hidden), width=1).squeeze(-1))
            deltas.append(rows_of_cells(run_exactly(self.deltas, hidden), width=4))
        return AnchorPredictions(
            anchors=self.anchor_generator(grids_of(pyramid.levels)),
            logits=at_least_float32(torch.cat(logits, dim=1)),
            deltas=at_least_float32(torch.cat(deltas, dim=1)),
        )

    def losses(
        self, predictions: AnchorPredictions, images: ImageBatch, targets: Targets
    ) -> dict[str, Tensor]:
        """Losses on a random sample of anchors.

        Args:
            predictions: From ``forward``.
            images: The pictures' sizes say which anchors take part, their keys which are drawn.
            targets: Ground truth.

        Returns:
            Scalars ``rpn_objectness`` and ``rpn_box``.
        """
        anchors = predictions.anchors
        takes_part = anchors.belong_to(images.sizes)
        if self.allowed_border is not None:
            takes_part = takes_part & anchors.lie_inside(images.sizes, border=self.allowed_border)
        matches = self.matcher.match(anchors.boxes[None], takes_part, targets)
        sample = self.sampler.draw(matches, images.keys, anchors.numbers)
        target_index = sample.pick(matches.target_index)
        wanted_boxes = take_rows(targets.boxes, target_index)
        wanted = self.coder.encode(wanted_boxes, anchors.boxes[sample.index])
        drawn_deltas = sample.pick(predictions.deltas)
        num_drawn = denominator(sample.is_valid.sum(dtype=predictions.logits.dtype), what="number of samples")
        return {
            "rpn_objectness": objectness_loss(sample.pick(predictions.logits), sample) / num_drawn,
            "rpn_box": self.box_loss(drawn_deltas, wanted, sample.is_positive) / num_drawn,
        }

    def propose(self, predictions: AnchorPredictions, sizes: Tensor) -> Proposals:
        """The regions that look most like something.

        Args:
            predictions: From ``forward``.
            sizes: ``(N, 2)`` int64, height and width of each picture.

        Returns:
            Proposals; how many depends on the module's mode.
        """
        return self.propose_scored(predictions, sizes)[0]

    def propose_scored(self, predictions: AnchorPredictions, sizes: Tensor) -> tuple[Proposals, Tensor]:
        """The same, and how sure the network is of each: ``(N, R)`` in [0, 1], descending."""
        selector = self.training_selector if self.training else self.test_selector
        return selector.select_scored(predictions, sizes, self.coder)
