from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNConvFCHead

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import Sampler
from hrdet_cli.engine.models.boxes.selection import DetectionSelector
from hrdet_cli.engine.models.dense.proposals import Proposals
from hrdet_cli.engine.models.normed_convs import NormChoice
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.box_stage import BoxStage
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.models.regions.region_draw import RegionDraw
from hrdet_cli.engine.structures import ImageBatch, Targets

NUM_CLASSES = 3
SIZES = torch.tensor([[64, 64], [48, 60]])


def make_stage(*, class_agnostic_boxes: bool = False, **layers: Any) -> BoxStage:
    torch.manual_seed(0)
    return BoxStage(
        in_channels=4,
        num_classes=NUM_CLASSES,
        pooling=RegionPooling(strides=(4,), cells=3, sampling_ratio=2, aligned=True),
        hidden_features=16,
        class_agnostic_boxes=class_agnostic_boxes,
        coder=BoxCoder(stds=(0.1, 0.1, 0.2, 0.2)),
        box_loss=BoxLoss(kind="l1"),
        **layers,
    )


def agnostic_and_class_wise() -> tuple[BoxStage, BoxStage]:
    """Two with the same weights; the second one's regressor has the first one's rows for each class."""
    agnostic, class_wise = make_stage(class_agnostic_boxes=True), make_stage(class_agnostic_boxes=False)
    with torch.no_grad():
        agnostic.classifier.weight.mul_(30)
        agnostic.regressor.weight.mul_(300)
    weights = agnostic.state_dict()
    weights["regressor.weight"] = weights["regressor.weight"].repeat(NUM_CLASSES, 1)
    weights["regressor.bias"] = weights["regressor.bias"].repeat(NUM_CLASSES)
    class_wise.load_state_dict(weights)
    return agnostic, class_wise


def make_regions() -> tuple[Pyramid, Proposals]:
    generator = torch.Generator().manual_seed(1)
    corners = torch.rand(2, 40, 2, generator=generator) * 30
    boxes = torch.cat((corners, corners + 5 + torch.rand(2, 40, 2, generator=generator) * 13), dim=-1)
    pyramid = Pyramid((torch.randn(2, 4, 16, 16, generator=generator),), strides=(4,))
    return pyramid, Proposals(boxes=boxes, is_valid=torch.ones(2, 40, dtype=torch.bool))


def test_class_agnostic_boxes_take_four_outputs_and_are_the_same_for_every_class() -> None:
    stage = make_stage(class_agnostic_boxes=True)
    assert stage.regressor.weight.shape == (4, 16)
    pyramid, proposals = make_regions()
    predictions = stage(pyramid, proposals)
    assert predictions.logits.shape == (2, 40, NUM_CLASSES + 1)
    assert predictions.deltas.shape == (2, 40, 1, 4)
    boxes = stage.candidates(predictions, proposals).boxes
    assert boxes.shape == (2, 40, NUM_CLASSES, 4)
    assert torch.equal(boxes, boxes[:, :, :1].expand_as(boxes))


def test_a_class_agnostic_stage_learns_and_detects_like_a_class_wise_one_with_equal_classes() -> None:
    agnostic, class_wise = agnostic_and_class_wise()
    pyramid, proposals = make_regions()
    images = ImageBatch(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), SIZES, torch.tensor([1, 2]))
    targets = Targets(
        boxes=proposals.boxes[:, :6] + 1.5,
        labels=torch.arange(6).expand(2, -1) % NUM_CLASSES,
        is_valid=torch.ones(2, 6, dtype=torch.bool),
    )
    region_draw = RegionDraw(
        num_classes=NUM_CLASSES,
        matcher=Matcher(positive_iou=0.5, negative_iou=0.5, min_positive_iou=None),
        sampler=Sampler(num_samples=32, positive_fraction=0.25, stream=1),
    )
    drawn = region_draw.draw(
        proposals, images, targets, class_losses=partial(class_wise.class_losses, pyramid)
    )
    losses = [stage.losses(stage(pyramid, drawn), drawn, targets) for stage in (agnostic, class_wise)]
    for loss, other in ((losses[0].classes, losses[1].classes), (losses[0].boxes, losses[1].boxes)):
        torch.testing.assert_close(loss, other)
        assert loss > 0.01
    for stage_losses in losses:
        torch.autograd.backward(stage_losses.classes + stage_losses.boxes)
    assert agnostic.regressor.weight.grad is not None
    assert class_wise.regressor.weight.grad is not None
    by_class = class_wise.regressor.weight.grad.view(NUM_CLASSES, 4, -1)
    assert (by_class != 0).flatten(1).any(dim=1).all()
    torch.testing.assert_close(agnostic.regressor.weight.grad, by_class.sum(dim=0))

    selector = DetectionSelector(score_threshold=0.05, nms_iou=0.5, max_detections=100)
    with torch.no_grad():
        found, wanted = (
            selector.select(stage.candidates(stage(pyramid, proposals), proposals), SIZES)
            for stage in (agnostic, class_wise)
        )
    assert found.is_valid.sum() > 20
    assert torch.equal(found.labels, wanted.labels)
    torch.testing.assert_close(found.boxes, wanted.boxes)
    torch.testing.assert_close(found.scores, wanted.scores)


def test_under_autocast_scores_and_deltas_have_all_their_digits() -> None:
    stage, (pyramid, regions) = make_stage(), make_regions()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = stage(pyramid, regions)
    for values in (found.logits, found.deltas):
        assert values.dtype == torch.float32
        assert not torch.equal(values, values.bfloat16().float())


def test_the_rows_of_classes_are_all_rows_of_the_last_layers() -> None:
    stage = make_stage(class_agnostic_boxes=False)
    found = {layer: rows.num_rows(NUM_CLASSES) for layer, rows in stage.class_rows.items()}
    assert found == {"classifier": stage.classifier.out_features, "regressor": stage.regressor.out_features}
    assert list(found) == ["classifier", "regressor"]
    agnostic = make_stage(class_agnostic_boxes=True)
    assert agnostic.regressor.out_features == agnostic.class_rows["regressor"].per_class


@pytest.mark.parametrize("class_agnostic_boxes", [True, False])
def test_the_regressor_starts_small(class_agnostic_boxes: bool) -> None:
    regressor = make_stage(class_agnostic_boxes=class_agnostic_boxes).regressor
    assert 0.0005 < regressor.weight.std() < 0.0015
    assert (regressor.bias == 0).all()


def test_the_class_losses_are_cross_entropies_of_each_region_without_a_gradient() -> None:
    stage = make_stage(class_agnostic_boxes=False)
    pyramid, proposals = make_regions()
    labels = torch.arange(80).view(2, 40) % (NUM_CLASSES + 1)
    losses = stage.class_losses(pyramid, proposals, labels)
    logits = stage(pyramid, proposals).logits.double()
    wanted = logits.exp().sum(dim=-1).log() - logits.gather(2, labels[..., None]).squeeze(2)
    torch.testing.assert_close(losses.double(), wanted, atol=1e-6, rtol=0)
    assert not losses.requires_grad


def with_padding_rows(regions: Proposals) -> Proposals:
    """The last ten of each picture are none, as where few were found."""
    is_valid = regions.is_valid.clone()
    is_valid[:, -10:] = False
    return Proposals(boxes=regions.boxes.where(is_valid[..., None], 0.0), is_valid=is_valid)


def as_torchvision(stage: BoxStage, *, channels: Sequence[int], norm: type[nn.Module] | None) -> Any:
    """Torchvision's layers with the stage's weights; it numbers a flattening between convolutions and fc1."""
    theirs = FastRCNNConvFCHead((4, 3, 3), [*channels], [16], norm_layer=norm)
    conv_names = {"": "0.", "norm.": "1."}
    state = {}
    for name, value in stage.state_dict().items():
        layer, _, tensor = name.partition(".")
        if layer == "convs":
            index, tensor = tensor.split(".", 1)
            prefix = "norm." if tensor.startswith("norm.") else ""
            state[f"{index}.{conv_names[prefix]}{tensor.removeprefix(prefix)}"] = value
        elif layer == "fc1":
            state[f"{len(channels) + 1}.{tensor}"] = value
    theirs.load_state_dict(state)
    return theirs


@pytest.mark.parametrize("norm", [None, "batch"])
def test_convolutions_and_norms_are_torchvisions_with_the_regions_that_are_there(
    norm: NormChoice | None,
) -> None:
    stage = make_stage(num_convs=2, conv_channels=6, norm=norm, num_hidden_layers=1).double()
    theirs = as_torchvision(stage, channels=[6, 6], norm=None if norm is None else nn.BatchNorm2d).double()
    pyramid, regions = make_regions()
    regions = with_padding_rows(regions)
    pyramid = Pyramid((pyramid.levels[0].double(),), pyramid.strides)
    regions = Proposals(regions.boxes.double(), regions.is_valid)

    ours = stage(pyramid, regions)

    pooled = stage.pooling(pyramid, regions.boxes)[regions.is_valid.flatten()]
    expected = stage.classifier(theirs(pooled))
    torch.testing.assert_close(ours.logits[regions.is_valid], expected, rtol=0, atol=1e-12)
    recorded = [buffer for name, buffer in stage.named_buffers() if "running" in name]
    assert len(recorded) == (0 if norm is None else 4)
    for buffer, other in zip(recorded, [x for n, x in theirs.named_buffers() if "running" in n], strict=True):
        torch.testing.assert_close(buffer, other, rtol=0, atol=1e-12)
    stage.eval()
    theirs.eval()
    ours = stage(pyramid, regions)
    torch.testing.assert_close(
        ours.logits[regions.is_valid], stage.classifier(theirs(pooled)), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("norm", [None, "batch", "group"])
def test_every_parameter_of_every_layer_gets_a_gradient(norm: NormChoice | None) -> None:
    stage = make_stage(num_convs=2, conv_channels=32, norm=norm, num_hidden_layers=1)
    pyramid, regions = make_regions()
    predictions = stage(pyramid, with_padding_rows(regions))
    torch.autograd.backward(predictions.logits.square().sum() + predictions.deltas.square().sum())
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in stage.parameters())


def test_looking_at_class_losses_teaches_the_norms_nothing() -> None:
    stage = make_stage(num_convs=1, norm="batch", conv_channels=6)
    pyramid, regions = make_regions()
    before: dict[str, Tensor] = {name: value.clone() for name, value in stage.named_buffers()}
    labels = torch.zeros(2, 40, dtype=torch.int64)

    losses = stage.class_losses(pyramid, regions, labels)

    assert all(torch.equal(value, before[name]) for name, value in stage.named_buffers())
    logits = stage(pyramid, regions).logits
    assert not any(torch.equal(value, before[name]) for name, value in stage.named_buffers())
    torch.testing.assert_close(losses, -logits.log_softmax(dim=-1)[..., 0])
