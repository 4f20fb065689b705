import pytest
import torch
from torch import Tensor
from torchvision.models.detection.rpn import RPNHead

from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.models.boxes import denominators
from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import Sampler
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator
from hrdet_cli.engine.models.dense.proposals import AnchorPredictions, ProposalSelector
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.normed_convs import NormChoice, NormedConv
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.structures import ImageBatch, Targets

SIZES = torch.tensor([[64, 96], [40, 50]])


def make_rpn(
    *,
    allowed_border: float | None = None,
    num_samples: int = 100_000,
    num_convs: int = 1,
    norm: NormChoice | None = None,
) -> RegionProposalNetwork:
    return RegionProposalNetwork(
        in_channels=8,
        num_convs=num_convs,
        norm=norm,
        anchor_generator=AnchorGenerator(strides=(8, 16), scale=2),
        coder=BoxCoder(stds=(1, 1, 1, 1)),
        matcher=Matcher(positive_iou=0.7, negative_iou=0.7, min_positive_iou=0.3),  # nothing in between
        sampler=Sampler(num_samples=num_samples, positive_fraction=1.0, stream=0),
        box_loss=BoxLoss(kind="l1"),
        allowed_border=allowed_border,
        training_selector=ProposalSelector(num_candidates_per_level=70, nms_iou=0.7, max_proposals=80),
        test_selector=ProposalSelector(num_candidates_per_level=30, nms_iou=0.7, max_proposals=20),
    )


def make_batch() -> tuple[ImageBatch, Targets]:
    images = ImageBatch(
        pixels=torch.zeros(2, 3, 64, 96, dtype=torch.uint8), sizes=SIZES, keys=torch.tensor([1, 2])
    )
    boxes = torch.tensor([[[10.0, 10.0, 40.0, 30.0], [0.0, 0.0, 0.0, 0.0]]]).repeat(2, 1, 1)
    is_valid = torch.tensor([[True, False], [True, False]])
    return images, Targets(boxes=boxes, labels=torch.zeros(2, 2, dtype=torch.int64), is_valid=is_valid)


def random_pyramid() -> Pyramid:
    generator = torch.Generator().manual_seed(0)
    levels = [torch.randn(2, 8, 64 // stride, 96 // stride, generator=generator) for stride in (8, 16)]
    return Pyramid(tuple(levels), strides=(8, 16))


def trained_anchors(rpn: RegionProposalNetwork) -> tuple[AnchorPredictions, Tensor]:
    """Predictions, and which anchors ``(N, A)`` the objectness loss pulls at."""
    predictions: AnchorPredictions = rpn(random_pyramid())
    leaf = AnchorPredictions(
        predictions.anchors, predictions.logits.detach().requires_grad_(), predictions.deltas.detach()
    )
    rpn.losses(leaf, *make_batch())["rpn_objectness"].backward()  # type: ignore[no-untyped-call]
    assert leaf.logits.grad is not None
    return leaf, leaf.logits.grad != 0


def test_several_convolutions_are_numbered_and_torchvisions() -> None:
    torch.manual_seed(0)
    rpn = make_rpn(num_convs=2)
    theirs = RPNHead(8, num_anchors=3, conv_depth=2)
    their_names = {
        "conv.0": "conv.0.0",
        "conv.1": "conv.1.0",
        "objectness": "cls_logits",
        "deltas": "bbox_pred",
    }
    state = {}
    for name, value in rpn.state_dict().items():
        layer, _, tensor = name.rpartition(".")
        state[f"{their_names[layer]}.{tensor}"] = value
    theirs.load_state_dict(state)

    predictions: AnchorPredictions = rpn(random_pyramid())

    logits, deltas = theirs([*random_pyramid().levels])
    wanted = torch.cat([x.permute(0, 2, 3, 1).reshape(2, -1) for x in logits], dim=1)
    torch.testing.assert_close(predictions.logits, wanted)
    wanted = torch.cat([x.permute(0, 2, 3, 1).reshape(2, -1, 4) for x in deltas], dim=1)
    torch.testing.assert_close(predictions.deltas, wanted)


@pytest.mark.parametrize(
    ("num_convs", "names"),
    [
        (1, ["conv.weight", "conv.norm.weight", "conv.norm.bias"]),
        (2, ["conv.0.weight", "conv.0.norm.weight"]),
    ],
)
def test_norms_start_as_the_identity_and_make_the_hidden_maps_of_each_level_standard(
    num_convs: int, names: list[str]
) -> None:
    rpn = make_rpn(num_convs=num_convs, norm="batch")
    assert set(names) <= set(rpn.state_dict())
    with torch.no_grad():  # so that the logits are the sum of the hidden channels
        rpn.objectness.weight.fill_(1.0)
    predictions: AnchorPredictions = rpn(random_pyramid())
    # The positive half of a standard normal variable has mean 1 / sqrt(2 pi); of 8 channels, 3.19.
    for level in torch.split(predictions.logits, predictions.anchors.level_lengths, dim=1):
        assert 2.8 < level.mean() < 3.6


def test_anchors_centred_in_the_padding_are_not_trained_on_and_all_others_are() -> None:
    predictions, trains = trained_anchors(make_rpn())
    assert torch.equal(trains, predictions.anchors.belong_to(SIZES))
    assert trains[0].all()
    assert not trains[1].all()


def test_with_a_border_of_zero_only_anchors_inside_the_picture_are_trained_on() -> None:
    predictions, trains = trained_anchors(make_rpn(allowed_border=0))
    for picture, (height, width) in enumerate(SIZES.tolist()):
        for (x1, y1, x2, y2), is_trained in zip(
            predictions.anchors.boxes.tolist(), trains[picture].tolist(), strict=True
        ):
            assert is_trained == (x1 >= 0 and y1 >= 0 and x2 <= width and y2 <= height)
    assert trains[1].any()


def test_no_more_anchors_are_trained_on_than_samples_are_asked_for() -> None:
    _, trains = trained_anchors(make_rpn(num_samples=16))
    assert trains.sum(dim=1).tolist() == [16, 16]


def test_perfect_predictions_cost_nothing() -> None:
    rpn = make_rpn()
    images, targets = make_batch()
    predictions: AnchorPredictions = rpn(random_pyramid())
    anchors = predictions.anchors
    everyone = anchors.belong_to(SIZES)
    matches = rpn.matcher.match(anchors.boxes.expand(2, -1, 4), everyone, targets)
    assert matches.is_positive.any(dim=1).all()
    perfect = AnchorPredictions(
        anchors,
        logits=torch.where(matches.is_positive, 50.0, -50.0),
        deltas=rpn.coder.encode(targets.boxes[:, :1], anchors.boxes),
    )
    costs = rpn.losses(perfect, images, targets)
    assert costs["rpn_objectness"] < 1e-6
    assert costs["rpn_box"] < 1e-6
    shifted = AnchorPredictions(anchors, perfect.logits, perfect.deltas + 1)
    # Off by 1 in each of 4 deltas of the positives, over all drawn anchors.
    wanted = 4 * matches.is_positive.sum() / everyone.sum()
    torch.testing.assert_close(rpn.losses(shifted, images, targets)["rpn_box"], wanted)


def test_two_processes_with_a_picture_each_average_to_one_process_with_both(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rpn = make_rpn()
    images, targets = make_batch()
    predictions: AnchorPredictions = rpn(random_pyramid())
    both = rpn.losses(predictions, images, targets)

    num_anchors = predictions.anchors.belong_to(SIZES).sum(dim=1)
    assert num_anchors[0] > num_anchors[1]  # equal counts would prove nothing
    monkeypatch.setattr(denominators, "sum_over_processes", lambda _, **_name: num_anchors.sum().float())
    monkeypatch.setattr(denominators, "current_world", lambda: World(rank=0, size=2))
    shares = []
    for picture in range(2):
        only = slice(picture, picture + 1)
        share = AnchorPredictions(predictions.anchors, predictions.logits[only], predictions.deltas[only])
        their_images = ImageBatch(images.pixels[only], images.sizes[only], images.keys[only])
        their_targets = Targets(targets.boxes[only], targets.labels[only], targets.is_valid[only])
        shares.append(rpn.losses(share, their_images, their_targets))
    for name, loss in both.items():
        torch.testing.assert_close((shares[0][name] + shares[1][name]) / 2, loss)


def test_the_mode_decides_how_many_proposals_there_are() -> None:
    rpn = make_rpn()
    predictions = rpn(random_pyramid())
    assert rpn.propose(predictions, SIZES).boxes.shape == (2, 80, 4)
    rpn.eval()
    assert rpn.propose(predictions, SIZES).boxes.shape == (2, 20, 4)


def test_predictions_of_half_precision_features_are_float32() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predictions = make_rpn()(random_pyramid())
    assert predictions.logits.dtype == torch.float32
    assert predictions.deltas.dtype == torch.float32


def test_weights_start_small_and_biases_at_zero() -> None:
    rpn = make_rpn()
    assert set(rpn.state_dict()) == {
        f"{layer}.{part}" for layer in ("conv", "objectness", "deltas") for part in ("weight", "bias")
    }
    for name, parameter in rpn.named_parameters():
        if name.endswith("bias"):
            assert (parameter == 0).all()
        else:
            assert 0.008 < parameter.std() < 0.012


def test_under_autocast_scores_are_told_apart_that_would_be_equal_in_bfloat16() -> None:
    torch.manual_seed(0)
    rpn = make_rpn()
    generator = torch.Generator().manual_seed(0)
    levels = tuple(torch.randn(1, 8, side, side, generator=generator) for side in (64, 32))
    pyramid = Pyramid(levels, strides=(8, 16))
    best = 2000
    with torch.autocast("cpu", torch.bfloat16):
        predictions: AnchorPredictions = rpn(pyramid)
        hidden = [level.relu() for level in outputs_of(rpn, pyramid)]
        rounded = torch.cat([rpn.objectness(level).flatten() for level in hidden])
    assert predictions.logits.dtype == predictions.deltas.dtype == torch.float32

    def tied_at_the_cut(scores: Tensor) -> int:
        last = scores.float().sort(descending=True).values[best - 1]
        return int((scores == last).sum())

    assert rounded.dtype == torch.bfloat16
    assert tied_at_the_cut(rounded) > 20
    assert tied_at_the_cut(predictions.logits.flatten()) == 1


def outputs_of(rpn: RegionProposalNetwork, pyramid: Pyramid) -> list[Tensor]:
    """What the 3x3 convolution makes of each level."""
    assert isinstance(rpn.conv, NormedConv)
    return [rpn.conv(level) for level in pyramid.levels]
