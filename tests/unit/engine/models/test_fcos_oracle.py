"""FCOS's head against torchvision's where the two agree: centre sampling, scores, selection; in float64.

Torchvision's points lie at the corners of their cells and its box loss has no weights: its points are moved
to the middles here, and the box loss is not compared.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import FCOS
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList

from hrdet_cli.engine.models.boxes.focal_loss import FocalLoss
from hrdet_cli.engine.models.boxes.overlap_loss import OverlapLoss
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.dense.fcos import FcosHead, PointScoring
from hrdet_cli.engine.models.dense.point_matching import PointMatcher
from hrdet_cli.engine.models.one_stage import OneStageHead
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.structures import ImageBatch, Targets

NUM_CLASSES, CHANNELS = 4, 32
HEIGHT, WIDTH = 256, 384  # multiples of 128, or their step from point to point is another
STRIDES = (8, 16, 32, 64, 128)


class Features(nn.Module):
    """Stands in for their backbone: the same features for all pictures."""

    out_channels = CHANNELS

    def __init__(self, levels: Sequence[Tensor]) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, _: Tensor) -> OrderedDict[str, Tensor]:
        return OrderedDict((str(index), level) for index, level in enumerate(self.levels))


class CentredAnchors(AnchorGenerator):  # type: ignore[misc]  # torchvision has no types
    """Their squares of one stride, moved by half of it."""

    def forward(self, images: ImageList, maps: list[Tensor]) -> list[Tensor]:
        return [boxes + (boxes[:, 2:3] - boxes[:, 0:1]) / 2 for boxes in super().forward(images, maps)]


def make_ours() -> OneStageHead:
    dense = FcosHead(
        in_channels=CHANNELS,
        num_classes=NUM_CLASSES,
        strides=STRIDES,
        channels=CHANNELS,
        num_convs=4,
        norm="group",
        prior_probability=0.01,
        point_area="canvas",
        distances="strides",
        centreness_from="boxes",
        matcher=PointMatcher(range_ends=(64.0, 128.0, 256.0, 512.0), centre_radius=1.5),
        class_loss=FocalLoss(alpha=0.25, gamma=2.0),
        box_loss=OverlapLoss(kind="giou"),
        scoring=PointScoring(rule="geometric_mean", score_threshold=0.2, num_candidates_per_level=60),
    ).double()
    selector = DetectionSelector(score_threshold=0.0, nms_iou=0.6, max_detections=100)
    return OneStageHead(name="fcos_head", dense=dense, selector=selector)


@dataclass
class Case:
    ours: OneStageHead
    theirs: Any
    pyramid: Pyramid
    images: ImageBatch
    targets: Targets

    def their_outcome(self) -> Any:
        pictures = [torch.zeros(3, HEIGHT, WIDTH, dtype=torch.float64)] * 2
        if not self.theirs.training:
            return self.theirs(pictures)
        rows = [
            {"boxes": boxes[is_valid].double(), "labels": labels[is_valid]}
            for boxes, labels, is_valid in zip(
                self.targets.boxes, self.targets.labels, self.targets.is_valid, strict=True
            )
        ]
        return self.theirs(pictures, rows)


def from_theirs(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Their tensors under our names; not the biases before norms, which we have not."""
    renamed = {}
    branches = {"class": "classification", "box": "regression"}
    outputs = {
        "class_logits": "classification_head.cls_logits",
        "distances": "regression_head.bbox_reg",
        "centreness": "regression_head.bbox_ctrness",
    }
    for end in ("weight", "bias"):
        for ours, theirs in outputs.items():
            renamed[f"{ours}.{end}"] = tensors[f"{theirs}.{end}"]
        for tower, branch in branches.items():
            for index in range(4):
                conv = f"{tower}_convs.{index}"
                renamed[f"{conv}.norm.{end}"] = tensors[f"{branch}_head.conv.{3 * index + 1}.{end}"]
                if end == "weight":
                    renamed[f"{conv}.weight"] = tensors[f"{branch}_head.conv.{3 * index}.weight"]
    return renamed


def make_case() -> Case:
    torch.manual_seed(0)
    levels = [torch.randn(2, CHANNELS, -(-HEIGHT // s), -(-WIDTH // s), dtype=torch.float64) for s in STRIDES]
    sizes = tuple((stride,) for stride in STRIDES)
    theirs = FCOS(
        Features(levels),
        NUM_CLASSES,
        min_size=HEIGHT,
        max_size=WIDTH,
        anchor_generator=CentredAnchors(sizes, ((1.0,),) * 5),
        topk_candidates=60,
    ).double()
    with torch.no_grad():  # as if a little trained
        theirs.head.classification_head.cls_logits.bias.copy_(torch.linspace(-2, 0, NUM_CLASSES))
        theirs.head.regression_head.bbox_reg.bias.fill_(2.0)
        for name, parameter in theirs.head.named_parameters():
            if name.endswith(("cls_logits.weight", "bbox_reg.weight", "bbox_ctrness.weight")):
                parameter.mul_(8)
    ours = make_ours()
    scales = {f"scales.{level}": torch.ones(()) for level in range(5)}
    ours.dense.load_state_dict(from_theirs(theirs.head.state_dict()) | scales)
    corners = torch.rand(2, 8, 2) * torch.tensor([WIDTH, HEIGHT]) * 0.5
    boxes = torch.cat((corners, corners + 10 + torch.rand(2, 8, 2) * torch.tensor([150, 115])), dim=-1)
    is_valid = torch.arange(8) < torch.tensor([[7], [5]])
    return Case(
        ours=ours,
        theirs=theirs,
        pyramid=Pyramid(tuple(levels), STRIDES),
        images=ImageBatch(
            pixels=torch.zeros(2, 3, HEIGHT, WIDTH, dtype=torch.uint8),
            sizes=torch.tensor([[HEIGHT, WIDTH]] * 2),
            keys=torch.tensor([1, 2]),
        ),
        targets=Targets(
            boxes=boxes * is_valid[..., None],
            labels=torch.randint(NUM_CLASSES, (2, 8)) * is_valid,
            is_valid=is_valid,
        ),
    )


def test_losses_of_classes_and_centreness_and_their_gradients_equal_torchvisions() -> None:
    case = make_case()
    losses, theirs = case.ours.losses(case.pyramid, case.images, case.targets), case.their_outcome()
    pairs = (("fcos_class", "classification"), ("fcos_centreness", "bbox_ctrness"))
    for name, their_name in pairs:
        assert losses[name] > 0.1
        torch.testing.assert_close(losses[name], theirs[their_name], rtol=1e-6, atol=0, msg=name)
    torch.stack([losses[name] for name, _ in pairs]).sum().backward()  # type: ignore[no-untyped-call]
    torch.stack([theirs[name] for _, name in pairs]).sum().backward()  # type: ignore[no-untyped-call]
    their_gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad
        for name, p in case.theirs.head.named_parameters()
    }
    wanted = from_theirs(their_gradients)
    for name, parameter in case.ours.dense.named_parameters():
        if not name.startswith(("distances", "scales")):
            assert parameter.grad is not None
            error = (parameter.grad - wanted[name]).norm() / wanted[name].norm()
            assert error < 1e-6, name


@pytest.mark.parametrize("threshold", [0.2, 0.5])
def test_detections_equal_torchvisions(threshold: float) -> None:
    case = make_case()
    case.theirs.eval()
    case.theirs.score_thresh = threshold
    scoring = PointScoring(rule="geometric_mean", score_threshold=threshold, num_candidates_per_level=60)
    case.ours.dense.scoring = scoring
    with torch.no_grad():
        candidates = case.ours.candidates(case.pyramid, case.images.sizes)
        found = case.ours.selector.select(candidates, case.images.sizes)
        wanted = case.their_outcome()
    for picture, theirs in enumerate(wanted):
        rows = found.is_valid[picture]
        assert len(theirs["boxes"]) == rows.sum() > 10
        torch.testing.assert_close(found.boxes[picture][rows], theirs["boxes"], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found.scores[picture][rows], theirs["scores"], rtol=1e-6, atol=0)
        assert torch.equal(found.labels[picture][rows], theirs["labels"])
        assert len(theirs["labels"].unique()) > 1
