"""The semantic branch against mmdetection's formulas written out, in float64."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.models.regions.semantic_branch import SemanticBranch
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import UNLABELLED, Size

STRIDES = (4, 8, 16, 32, 64)
CHANNELS, NUM_LABELS = 4, 7


def make_branch() -> SemanticBranch:
    torch.manual_seed(0)
    branch = SemanticBranch(
        channels=CHANNELS, strides=STRIDES, num_labels=NUM_LABELS, num_convs=2, loss_weight=0.2
    ).double()
    for parameter in branch.parameters():
        if parameter.dim() == 1:
            torch.nn.init.normal_(parameter)
    return branch


def make_levels(canvas: Size, sizes: list[tuple[int, int]]) -> tuple[Tensor, ...]:
    """Maps of random pictures, each a function of its size and zero elsewhere; strides divide up."""
    levels = [
        torch.zeros(len(sizes), CHANNELS, -(-canvas.height // s), -(-canvas.width // s)).double()
        for s in STRIDES
    ]
    for index, (height, width) in enumerate(sizes):
        generator = torch.Generator().manual_seed(index)
        for level, stride in zip(levels, STRIDES, strict=True):
            part = torch.randn(CHANNELS, -(-height // stride), -(-width // stride), generator=generator)
            level[index, :, : part.shape[1], : part.shape[2]] = part
    return tuple(level.requires_grad_() for level in levels)


def label_maps(canvas: Size) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    shape = (2, canvas.height // 8, canvas.width // 8)
    labels = torch.randint(NUM_LABELS, shape, generator=generator, dtype=torch.uint8)
    return labels.where(torch.rand(shape, generator=generator) < 0.7, UNLABELLED)


def wanted_maps(branch: SemanticBranch, levels: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    """Features and logits."""
    weights = branch.state_dict(keep_vars=True)

    def conv(name: str, values: Tensor) -> Tensor:
        weight = weights[f"{name}.weight"]
        return F.conv2d(values, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2)

    size = levels[1].shape[-2:]
    hidden = conv("laterals.1", levels[1]).relu()
    for index in (0, 2, 3, 4):
        resized = F.interpolate(levels[index], size=size, mode="bilinear", align_corners=True)
        hidden = hidden + conv(f"laterals.{index}", resized).relu()
    for index in range(2):
        hidden = conv(f"convs.{index}", hidden).relu()
    return conv("embedding", hidden).relu(), conv("logits", hidden)


def test_features_and_loss_are_mmdetections() -> None:
    branch, canvas = make_branch(), Size(96, 160)
    levels = make_levels(canvas, [(96, 160), (96, 160)])
    pyramid = Pyramid(levels, STRIDES)
    pyramid = replace(pyramid, semantic=branch(pyramid))
    assert pyramid.semantic is not None
    labels = label_maps(canvas)
    features, logits = wanted_maps(branch, levels)
    torch.testing.assert_close(pyramid.semantic.features, features)
    loss = branch.loss(pyramid, labels)
    log_shares = logits.log_softmax(dim=1).permute(0, 2, 3, 1)
    is_labelled = labels != UNLABELLED
    own = log_shares[is_labelled].gather(1, labels[is_labelled].long()[:, None])
    wanted = -own.sum() / labels.numel() * 0.2
    torch.testing.assert_close(loss, wanted)
    ours, theirs = (torch.autograd.grad(value, levels, retain_graph=True) for value in (loss, wanted))
    torch.testing.assert_close(ours, theirs)


def test_where_padding_is_hidden_nothing_depends_on_the_canvas() -> None:
    branch, sizes = make_branch(), [(64, 96), (96, 64)]
    results = []
    for canvas in (Size(96, 96), Size(96, 128), Size(192, 160)):
        levels = make_levels(canvas, sizes)
        area = ValidArea.on_canvas(canvas, torch.tensor(sizes))
        pyramid = Pyramid(levels, STRIDES, area)
        pyramid = replace(pyramid, semantic=branch(pyramid))
        assert pyramid.semantic is not None
        labels = torch.full((2, canvas.height // 8, canvas.width // 8), UNLABELLED, dtype=torch.uint8)
        for index, (height, width) in enumerate(sizes):
            labels[index, : height // 8, : width // 8] = torch.arange(width // 8) % NUM_LABELS
        loss = branch.loss(pyramid, labels)
        gradients = torch.autograd.grad(loss, levels)
        assert not pyramid.semantic.features[0, :, 64 // 8 :].any()
        results.append(
            [
                loss,
                *(pyramid.semantic.features[i, :, : h // 8, : w // 8] for i, (h, w) in enumerate(sizes)),
                *(g[0, :, : -(-64 // s), : -(-96 // s)] for g, s in zip(gradients, STRIDES, strict=True)),
            ]
        )
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-11)
    alone = make_levels(Size(64, 96), sizes[:1])
    torch.testing.assert_close(results[-1][1], wanted_maps(branch, alone)[0][0])


def test_a_batch_without_labels_has_a_loss_of_zero_and_every_parameter_a_gradient() -> None:
    branch, canvas = make_branch(), Size(64, 64)
    pyramid = Pyramid(make_levels(canvas, [(64, 64), (64, 64)]), STRIDES)
    pyramid = replace(pyramid, semantic=branch(pyramid))
    nothing = torch.full((2, 8, 8), UNLABELLED, dtype=torch.uint8)
    loss = branch.loss(pyramid, nothing)
    assert loss == 0
    assert pyramid.semantic is not None
    torch.autograd.backward(loss + pyramid.semantic.features.sum() * 0)
    assert all(parameter.grad is not None for parameter in branch.parameters())


def test_regions_get_the_semantic_features_averaged_to_their_cells() -> None:
    branch, canvas = make_branch(), Size(96, 160)
    levels = make_levels(canvas, [(96, 160), (96, 160)])
    pyramid = Pyramid(levels, STRIDES)
    around = RegionPooling(strides=(8,), cells=6, sampling_ratio=2, aligned=True)
    plain, added = (
        RegionPooling(strides=STRIDES[:-1], cells=3, sampling_ratio=2, aligned=True, semantic=semantic)
        for semantic in (None, around)
    )
    regions = torch.tensor([[10.0, 12, 60, 80], [0, 0, 160, 96], [100, 5, 130, 20]]).double().expand(2, 3, 4)
    with pytest.raises(ValueError, match="its head did not prepare it"):
        added(pyramid, regions)
    pyramid = replace(pyramid, semantic=branch(pyramid))
    assert pyramid.semantic is not None
    features = Pyramid((pyramid.semantic.features,), strides=(8,))
    wanted = plain(pyramid, regions) + around(features, regions).view(6, CHANNELS, 3, 2, 3, 2).mean(
        dim=(3, 5)
    )
    torch.testing.assert_close(added(pyramid, regions), wanted)


def test_what_is_missing_is_told() -> None:
    branch = make_branch()
    pyramid = Pyramid(make_levels(Size(64, 64), [(64, 64)]), STRIDES)
    with pytest.raises(ValueError, match="its head did not prepare it"):
        branch.loss(pyramid, torch.zeros(1, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="without label maps"):
        branch.loss(replace(pyramid, semantic=branch(pyramid)), None)
