import torch
from torchvision.ops import box_iou

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import Sampler
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator
from hrdet_cli.engine.models.dense.proposals import ProposalSelector
from hrdet_cli.engine.models.dense.rpn import RegionProposalNetwork
from hrdet_cli.engine.models.proposal_head import ProposalHead
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.structures import ImageBatch, Targets

STRIDES, MAX_PROPOSALS = (4, 8), 90
SIZES = torch.tensor([[64, 64], [40, 52]])


def make_head() -> ProposalHead:
    torch.manual_seed(0)
    proposes = ProposalSelector(num_candidates_per_level=50, nms_iou=0.5, max_proposals=MAX_PROPOSALS)
    rpn = RegionProposalNetwork(
        in_channels=4,
        anchor_generator=AnchorGenerator(strides=STRIDES, scale=4),
        coder=BoxCoder(stds=(1.0, 1.0, 1.0, 1.0)),
        matcher=Matcher(positive_iou=0.7, negative_iou=0.3, min_positive_iou=0.3),
        sampler=Sampler(num_samples=32, positive_fraction=0.5, stream=0),
        box_loss=BoxLoss(kind="l1"),
        allowed_border=None,
        training_selector=ProposalSelector(num_candidates_per_level=9, nms_iou=0.7, max_proposals=9),
        test_selector=proposes,
    )
    with torch.no_grad():
        rpn.objectness.weight.mul_(300)
    return ProposalHead(rpn=rpn.eval())


def make_pyramid() -> Pyramid:
    generator = torch.Generator().manual_seed(1)
    return Pyramid(
        tuple(torch.randn(2, 4, 64 // stride, 64 // stride, generator=generator) for stride in STRIDES),
        strides=STRIDES,
    )


@torch.no_grad()
def test_detections_are_the_proposals_with_their_objectness_best_first() -> None:
    head, pyramid = make_head(), make_pyramid()
    found = head.selector.select(head.candidates(pyramid, SIZES), SIZES)
    anchors = head.rpn(pyramid)
    proposals = head.rpn.propose(anchors, SIZES)
    assert found.boxes.shape == (2, MAX_PROPOSALS, 4)
    assert torch.equal(found.is_valid, proposals.is_valid)
    assert torch.equal(found.boxes, proposals.boxes)
    assert not found.labels.any()
    assert not found.is_valid.all()
    assert (found.scores[found.is_valid] > 0).all()
    decoded, _ = BoxClipping().clip(head.rpn.coder.decode(anchors.deltas, anchors.anchors.boxes), SIZES)
    for picture in range(2):
        boxes, scores = (values[picture, found.is_valid[picture]] for values in (found.boxes, found.scores))
        assert (scores.diff() <= 0).all()
        assert scores[0] > 0.7
        same = (boxes[:, None] == decoded[picture]).all(dim=-1)
        objectness = 1 / (1 + (-anchors.logits[picture].double()).exp())
        assert torch.equal(same.sum(dim=1), torch.ones(len(boxes), dtype=torch.int64))
        torch.testing.assert_close(scores.double(), objectness[same.long().argmax(dim=1)], rtol=0, atol=1e-7)


@torch.no_grad()
def test_overlapping_proposals_of_different_levels_are_both_detected() -> None:
    head, pyramid = make_head(), make_pyramid()
    found = head.selector.select(head.candidates(pyramid, SIZES), SIZES)
    boxes = found.boxes[0, found.is_valid[0]]
    assert box_iou(boxes, boxes).fill_diagonal_(0).max() > head.rpn.test_selector.nms_iou


def test_labels_have_no_effect() -> None:
    head, pyramid = make_head(), make_pyramid()
    images = ImageBatch(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), SIZES, keys=torch.tensor([1, 2]))
    boxes = torch.tensor([[[4.0, 4, 20, 20], [30, 20, 60, 50]], [[8, 8, 40, 36], [0, 0, 10, 10]]])
    losses = [
        head.losses(pyramid, images, Targets(boxes, torch.full((2, 2), label), torch.ones(2, 2).bool()))
        for label in (0, 7)
    ]
    assert set(losses[0]) == {"rpn_objectness", "rpn_box"}
    assert losses[0] == losses[1]
    assert losses[0]["rpn_box"] > 0
