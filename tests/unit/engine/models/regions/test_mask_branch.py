from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor

from hrdet_cli.engine.models.normed_convs import NormChoice
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.mask_branch import MaskBranch
from hrdet_cli.engine.models.regions.mask_targets import mask_targets
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.models.regions.region_draw import DrawnRegions
from hrdet_cli.engine.structures import Detections, Targets

NUM_CLASSES = 3
CELLS, MASK_CELLS = 4, 8


def make_branch(*, norm: NormChoice | None = None, num_convs: int = 2) -> MaskBranch:
    """With logits that are not all nearly zero."""
    torch.manual_seed(0)
    branch = MaskBranch(
        in_channels=4,
        num_classes=NUM_CLASSES,
        pooling=RegionPooling(strides=(4,), cells=CELLS, sampling_ratio=2, aligned=True),
        num_convs=num_convs,
        channels=6,
        norm=norm,
    ).double()
    with torch.no_grad():
        branch.logits.weight.mul_(1000)
        for layer in (branch.upsample, branch.logits):
            assert layer.bias is not None
            layer.bias.normal_()
    return branch


def make_pyramid() -> Pyramid:
    generator = torch.Generator().manual_seed(1)
    return Pyramid((torch.randn(2, 4, 16, 16, generator=generator, dtype=torch.float64),), strides=(4,))


def make_drawn(num_positive: list[int], *, num_slots: int = 5) -> tuple[DrawnRegions, Targets]:
    """Positives first; regions lie around their boxes of the ground truth."""
    generator = torch.Generator().manual_seed(2)
    corners = torch.rand(2, 4, 2, generator=generator, dtype=torch.float64) * 30
    sides = 8 + torch.rand(2, 4, 2, generator=generator, dtype=torch.float64) * 20
    targets = Targets(
        boxes=torch.cat((corners, corners + sides), dim=-1),
        labels=torch.tensor([[0, 1, 2, 0], [2, 2, 1, 0]]),
        is_valid=torch.ones(2, 4, dtype=torch.bool),
        masks=(torch.rand(2, 4, 16, 16, generator=generator) < 0.5).to(torch.uint8),
    )
    is_positive = torch.arange(num_slots) < torch.tensor(num_positive)[:, None]
    target_index = torch.arange(num_slots).expand(2, -1) * 3 % 4
    rows = target_index[..., None].expand(-1, -1, 4)
    jitter = torch.rand(2, num_slots, 4, generator=generator, dtype=torch.float64) * 4 - 2
    drawn = DrawnRegions(
        boxes=targets.boxes.gather(1, rows) + jitter,
        labels=targets.labels.gather(1, target_index).where(is_positive, NUM_CLASSES),
        target_index=target_index,
        is_positive=is_positive,
        is_target=torch.zeros_like(is_positive),
        is_valid=torch.ones_like(is_positive),
    )
    return drawn, targets


def gradients_after(branch: MaskBranch, loss: Tensor) -> dict[str, Tensor]:
    """Of every parameter, by name; each has one."""
    branch.zero_grad()
    torch.autograd.backward(loss)
    found = {name: parameter.grad for name, parameter in branch.named_parameters()}
    return {name: gradient.clone() for name, gradient in found.items() if gradient is not None}


def torchvisions(branch: MaskBranch) -> Callable[[Tensor], Tensor]:
    """torchvision's head with the same weights: pooled features to the logits of all classes."""
    head = MaskRCNNHeads(4, (6, 6), dilation=1).double()
    predictor: Any = MaskRCNNPredictor(6, 6, NUM_CLASSES).double()
    weights = branch.state_dict()
    head.load_state_dict(
        {f"{i}.0.{end}": weights[f"convs.{i}.{end}"] for i in (0, 1) for end in ("weight", "bias")}
    )
    predictor.load_state_dict(
        {
            f"{theirs}.{end}": weights[f"{ours}.{end}"]
            for ours, theirs in (("upsample", "conv5_mask"), ("logits", "mask_fcn_logits"))
            for end in ("weight", "bias")
        }
    )
    return lambda pooled: predictor(head(pooled))


def test_logits_are_those_of_torchvisions_head_for_the_class_that_is_asked() -> None:
    branch, pyramid = make_branch(), make_pyramid()
    drawn, _ = make_drawn([5, 5])
    labels = torch.tensor([[2, 1, 0, 0, 2], [1, 1, 2, 0, 1]])
    found = branch(pyramid, drawn.boxes, labels)
    everything = torchvisions(branch)(branch.pooling(pyramid, drawn.boxes))
    assert everything.shape == (10, NUM_CLASSES, MASK_CELLS, MASK_CELLS)
    expected = everything[torch.arange(10), labels.flatten()].view_as(found)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert found.std() > 0.1


def test_the_loss_and_its_gradients_are_the_mean_over_the_cells_of_positives() -> None:
    branch, pyramid = make_branch(), make_pyramid()
    drawn, targets = make_drawn([3, 1])
    theirs = torchvisions(branch)
    loss = branch.loss(pyramid, drawn, targets)
    gradients = gradients_after(branch, loss)
    assert gradients.keys() == dict(branch.named_parameters()).keys()
    assert targets.masks is not None
    logits = theirs(branch.pooling(pyramid, drawn.boxes)).view(2, 5, NUM_CLASSES, MASK_CELLS, MASK_CELLS)
    cells: list[Tensor] = []
    for picture, slot in ((0, 0), (0, 1), (0, 2), (1, 0)):
        index = drawn.target_index[picture, slot]
        wanted = mask_targets(
            drawn.boxes[picture, slot][None],
            targets.boxes[picture, index][None],
            targets.masks[picture, index][None],
            num_cells=MASK_CELLS,
        )
        own = logits[picture, slot, targets.labels[picture, index]]
        cells.append(F.softplus(torch.where(wanted[0], -own, own)))
    expected = torch.stack(cells).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    assert all(gradient.abs().max() > 0 for gradient in gradients.values())


def test_slots_that_are_not_positive_change_neither_the_loss_nor_a_gradient() -> None:
    branch, pyramid = make_branch(), make_pyramid()
    drawn, targets = make_drawn([3, 1])
    far_away = torch.tensor([-4000.0, 2000, 3000, 9000], dtype=torch.float64)
    other = replace(drawn, boxes=torch.where(drawn.is_positive[..., None], drawn.boxes, far_away))
    results = []
    for regions in (drawn, other, drawn.first(3)):
        loss = branch.loss(pyramid, regions, targets)
        results.append((loss, gradients_after(branch, loss)))
    for loss, gradients in results[1:]:
        torch.testing.assert_close(loss, results[0][0], rtol=1e-14, atol=0)
        torch.testing.assert_close(gradients, results[0][1], rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("norm", [None, "group", "batch"])
def test_without_positives_the_loss_is_zero_and_every_parameter_has_a_gradient_of_zero(
    norm: NormChoice | None,
) -> None:
    branch, pyramid = make_branch(norm=norm), make_pyramid()
    before = {name: buffer.clone() for name, buffer in branch.named_buffers()}
    drawn, targets = make_drawn([0, 0])
    loss = branch.loss(pyramid, drawn, targets)
    gradients = gradients_after(branch, loss)
    assert loss == 0
    assert gradients.keys() == dict(branch.named_parameters()).keys()
    assert all((gradient == 0).all() for gradient in gradients.values())
    for name, buffer in branch.named_buffers():
        assert buffer.isfinite().all(), name
        if "running" in name:
            assert torch.equal(buffer, before[name]), name


def test_batch_norms_count_the_positives_alone() -> None:
    branch, pyramid = make_branch(norm="batch"), make_pyramid()
    drawn, targets = make_drawn([3, 1])
    loss = branch.loss(pyramid, drawn, targets)
    statistics = {name: buffer.clone() for name, buffer in branch.named_buffers()}
    again = make_branch(norm="batch")
    rows = drawn.is_positive.flatten()
    pooled = again.pooling(pyramid, drawn.boxes)[rows]
    logits = again.logits_of(again.features(pooled, None), drawn.labels.flatten()[rows])
    assert logits.isfinite().all()
    for name, buffer in again.named_buffers():
        torch.testing.assert_close(buffer, statistics[name], msg=name)
    assert loss > 0


def test_detections_get_the_masks_of_their_class_and_padding_rows_get_zeros() -> None:
    branch, pyramid = make_branch(), make_pyramid()
    drawn, _ = make_drawn([5, 5])
    is_valid = torch.tensor([[True, True, False, False, False], [True, False, False, False, False]])
    labels = torch.tensor([[2, 1, 0, 0, 0], [1, 0, 0, 0, 0]])
    found = Detections(
        boxes=drawn.boxes * is_valid[..., None], scores=is_valid.double(), labels=labels, is_valid=is_valid
    )
    complete = branch.complete(pyramid, found)
    assert complete.masks is not None
    assert complete.masks.shape == (2, 5, MASK_CELLS, MASK_CELLS)
    expected = branch(pyramid, drawn.boxes, labels).sigmoid()
    torch.testing.assert_close(complete.masks[is_valid], expected[is_valid], rtol=1e-12, atol=1e-12)
    assert (complete.masks[~is_valid] == 0).all()
    assert torch.equal(complete.boxes, found.boxes)


def test_nothing_found_has_masks_of_nothing() -> None:
    branch, pyramid = make_branch(), make_pyramid()
    nothing = torch.zeros(2, 5, dtype=torch.bool)
    found = Detections(torch.zeros(2, 5, 4).double(), nothing.double(), nothing.long(), nothing)
    masks = branch.complete(pyramid, found).masks
    assert masks is not None
    assert masks.shape == (2, 5, MASK_CELLS, MASK_CELLS)
    assert (masks == 0).all()


def test_targets_without_masks_are_refused() -> None:
    branch, (drawn, targets) = make_branch(), make_drawn([1, 1])
    with pytest.raises(ValueError, match="targets without masks"):
        branch.loss(make_pyramid(), drawn, replace(targets, masks=None))


def test_masks_are_uncertain_at_first() -> None:
    torch.manual_seed(0)
    branch = MaskBranch(
        in_channels=4,
        num_classes=NUM_CLASSES,
        pooling=RegionPooling(strides=(4,), cells=CELLS, sampling_ratio=2, aligned=True),
        channels=64,
    ).double()
    drawn, targets = make_drawn([4, 4])
    assert branch.loss(make_pyramid(), drawn, targets).item() == pytest.approx(0.693, abs=0.05)
    assert {name.rsplit(".", 1)[0] for name in branch.state_dict()} == {
        "convs.0",
        "convs.1",
        "convs.2",
        "convs.3",
        "upsample",
        "logits",
    }
