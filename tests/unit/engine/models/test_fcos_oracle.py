"""The preset of torchvision's FCOS against torchvision's: same weights, same batch, in float64."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection import fcos_resnet50_fpn

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import Size
from hrdet_cli.engine.weights.naming.torchvision import TORCHVISION
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec
from tests.unit.engine.models.torchvision_oracle import (
    SharedBatch,
    assert_detections_equal,
    assert_gradients_equal,
    assert_losses_equal,
    batch_norms,
    gradients_of,
    make_batch,
    untrained,
)

NUM_CLASSES = 4
SIZE = Size(128, 224)  # so that cells of the coarsest levels are no strides apart


@dataclass
class Case:
    ours: Detector
    theirs: Any
    batch: SharedBatch
    their_images: list[Tensor]


def make_theirs() -> Any:
    theirs = fcos_resnet50_fpn(
        **untrained(SIZE),
        num_classes=NUM_CLASSES,
        detections_per_img=10_000,  # so that boxes without area crowd out no others
    ).double()
    for norm in batch_norms(theirs):
        nn.init.uniform_(norm.get_buffer("running_var"), 0.5, 1.5)
        nn.init.constant_(norm.weight, 0.7)
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
    batch = make_batch(
        SIZE,
        [[8, 6, 50, 40], [4, 2, 220, 124], [60, 40, 160, 120], [150, 20, 190, 100]],
        num_boxes=[4, 2],
        shifts=(0.37, 3.3),  # no side exactly where a range ends
        num_classes=NUM_CLASSES,
        keys=torch.tensor([1, 2]),
        dtype=torch.float64,
    )
    return Case(ours, theirs, batch, their_images=[*ours.normalise(batch.images)])


@pytest.mark.slow
def test_losses_and_gradients_equal_torchvisions(case: Case) -> None:
    for norm in batch_norms(case.theirs.train()):  # of published weights they stay as they are
        norm.eval()
    losses = case.ours.train()(case.batch.images, case.batch.targets)
    their_losses = case.theirs(case.their_images, case.batch.their_targets)
    names = {
        "fcos_class": "classification",
        "fcos_box": "bbox_regression",
        "fcos_centreness": "bbox_ctrness",
    }
    assert_losses_equal(losses, their_losses, names=names, above=0.1, rtol=1e-6)
    sum(losses.values()).backward()
    sum(their_losses.values()).backward()
    gradients = gradients_of(case.ours)
    assert len(gradients) > 80
    compared = {  # they have no scales
        name: gradient for name, gradient in gradients.items() if not name.startswith("fcos_head.scales")
    }
    assert_gradients_equal(compared, TORCHVISION.renamed(gradients_of(case.theirs)), tolerance=1e-6)


def test_detections_equal_torchvisions(case: Case) -> None:
    """Theirs can have no area, where a box was clipped away; what remains without those must be ours."""
    case.theirs.eval()
    case.ours.eval()
    with torch.no_grad():
        wanted = case.theirs(case.their_images)
    assert_detections_equal(
        case.ours.detect(case.batch.images), wanted, more_than=10, rtol=1e-6, atol=(1e-6, 0)
    )
