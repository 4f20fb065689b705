"""The preset of torchvision's FCOS against torchvision's: same weights, same batch, in float64."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import fcos_resnet50_fpn

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.engine.weights.naming.torchvision import TORCHVISION
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec

NUM_CLASSES = 4
HEIGHT, WIDTH = 128, 224  # so that cells of the coarsest levels are no strides apart
NUM_ROWS = 8  # of ground truth


@dataclass
class Case:
    ours: Detector
    theirs: Any
    images: ImageBatch
    targets: Targets
    their_images: list[Tensor]
    their_targets: list[dict[str, Tensor]]


def make_theirs() -> Any:
    theirs = fcos_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=NUM_CLASSES,
        min_size=HEIGHT,
        max_size=WIDTH,
        image_mean=[0.0, 0.0, 0.0],  # they get pixels that are normalised already
        image_std=[1.0, 1.0, 1.0],
        detections_per_img=10_000,  # so that boxes without area crowd out no others
    ).double()
    for module in theirs.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.get_buffer("running_var"), 0.5, 1.5)
            nn.init.constant_(module.weight, 0.7)
    with torch.no_grad():  # as if a little trained
        for name, parameter in theirs.head.named_parameters():
            if name.endswith("bias") and parameter.shape[0] == 256:
                parameter.normal_(std=0.1)
            if name.endswith(("cls_logits.weight", "bbox_reg.weight", "bbox_ctrness.weight")):
                parameter.mul_(10)
        theirs.head.classification_head.cls_logits.bias.copy_(torch.linspace(-2, 0, NUM_CLASSES))
        theirs.head.regression_head.bbox_reg.bias.fill_(2.0)
    return theirs


@pytest.fixture(scope="module")
def case() -> Case:
    torch.manual_seed(0)
    theirs = make_theirs()
    spec = load_spec(preset="torchvision-fcos-r50-fpn", settings=["model.head.max_detections=1000"]).spec
    ours = build_detector(spec, num_classes=NUM_CLASSES, trains=True).double()
    # Under our names; not without the background, which is a class like others in its loss.
    missing, surplus = ours.load_state_dict(TORCHVISION.renamed(theirs.state_dict()), strict=False)
    assert all(name.endswith("num_batches_tracked") for name in (*missing, *surplus))
    pixels = torch.randint(0, 256, (2, 3, HEIGHT, WIDTH), dtype=torch.uint8)
    images = ImageBatch(pixels, sizes=torch.tensor([[HEIGHT, WIDTH]] * 2), keys=torch.tensor([1, 2]))
    boxes = torch.tensor([[8, 6, 50, 40], [4, 2, 220, 124], [60, 40, 160, 120], [150, 20, 190, 100]])
    is_valid = torch.arange(NUM_ROWS) < torch.tensor([[4], [2]])
    padded = torch.zeros(2, NUM_ROWS, 4)
    padded[:, :4] = boxes + torch.tensor([[[0.37]], [[3.3]]])  # no side exactly where a range ends
    padded *= is_valid[..., None]
    labels = (torch.arange(NUM_ROWS) * 3 % NUM_CLASSES) * is_valid
    return Case(
        ours=ours,
        theirs=theirs,
        images=images,
        targets=Targets(boxes=padded, labels=labels, is_valid=is_valid),
        their_images=[*ours.normalise(images)],
        their_targets=[
            {"boxes": padded[i][is_valid[i]].double(), "labels": labels[i][is_valid[i]]} for i in range(2)
        ],
    )


@pytest.mark.slow
def test_losses_and_gradients_equal_torchvisions(case: Case) -> None:
    for module in case.theirs.train().modules():
        if isinstance(module, nn.BatchNorm2d):  # of published weights they stay as they are
            module.eval()
    losses = case.ours.train()(case.images, case.targets)
    their_losses = case.theirs(case.their_images, case.their_targets)
    names = {
        "fcos_class": "classification",
        "fcos_box": "bbox_regression",
        "fcos_centreness": "bbox_ctrness",
    }
    for name, their_name in names.items():
        assert losses[name] > 0.1, name
        torch.testing.assert_close(losses[name], their_losses[their_name], rtol=1e-6, atol=0, msg=name)
    sum(losses.values()).backward()
    sum(their_losses.values()).backward()
    wanted = TORCHVISION.renamed(
        {name: p.grad for name, p in case.theirs.named_parameters() if p.grad is not None}
    )
    trained = [name for name, p in case.ours.named_parameters() if p.grad is not None]
    assert len(trained) > 80
    for name in trained:
        if not name.startswith("fcos_head.scales"):  # which they have not
            gradient = case.ours.get_parameter(name).grad
            assert gradient is not None
            error = (gradient - wanted[name]).norm() / wanted[name].norm()
            assert error < 1e-6, name


def test_detections_equal_torchvisions(case: Case) -> None:
    """Theirs can have no area, where a box was clipped away; what remains without those must be ours."""
    case.theirs.eval()
    case.ours.eval()
    with torch.no_grad():
        wanted = case.theirs(case.their_images)
    found = case.ours.detect(case.images)
    for picture, theirs in enumerate(wanted):
        kept = (theirs["boxes"][:, 2:] > theirs["boxes"][:, :2]).all(dim=1)
        rows = found.is_valid[picture]
        assert kept.sum() == rows.sum() > 10
        boxes, scores = theirs["boxes"][kept], theirs["scores"][kept]
        torch.testing.assert_close(found.boxes[picture][rows], boxes, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(found.scores[picture][rows], scores, rtol=1e-6, atol=0)
        assert torch.equal(found.labels[picture][rows], theirs["labels"][kept])
        assert len(theirs["labels"].unique()) > 1
