import math
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.focal_loss import FocalLoss
from hrdet_cli.engine.models.boxes.overlap_loss import OverlapLoss
from hrdet_cli.engine.models.dense.retina import RetinaHead
from hrdet_cli.engine.models.pyramid import Pyramid
from hrdet_cli.engine.structures import ImageBatch, Targets
from tests.dense_heads import NUM_CLASSES, make_batch, make_lively, make_retina_head, random_pyramid

# 6 anchors on each of 8 x 12, 4 x 6 and 2 x 3 cells.
LEVEL_LENGTHS = [576, 144, 36]


@dataclass(frozen=True)
class RecordingLoss:
    """A focal loss that remembers what it was asked."""

    counted: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)

    def __call__(self, logits: Tensor, labels: Tensor, is_counted: Tensor) -> Tensor:
        self.counted.append(is_counted)
        self.labels.append(labels)
        return FocalLoss(alpha=0.25, gamma=2.0)(logits, labels, is_counted)


def one_picture(row: int) -> tuple[Pyramid, ImageBatch, Targets]:
    pyramid, (images, targets) = random_pyramid(), make_batch((3, 0))
    only = slice(row, row + 1)
    return (
        Pyramid(tuple(level[only] for level in pyramid.levels), pyramid.strides),
        ImageBatch(images.pixels[only], images.sizes[only], images.keys[only]),
        Targets(targets.boxes[only], targets.labels[only], targets.is_valid[only]),
    )


def test_anchors_of_the_picture_are_trained_on_but_for_those_between_the_thresholds() -> None:
    head, recording = make_retina_head(), RecordingLoss()
    head.class_loss = recording  # type: ignore[assignment]
    images, targets = make_batch()
    head.losses(random_pyramid(), images, targets)
    assert [counted.shape[1] for counted in recording.counted] == LEVEL_LENGTHS
    counted, labels = torch.cat(recording.counted, dim=1), torch.cat(recording.labels, dim=1)
    anchors = head(random_pyramid()).anchors
    belongs = anchors.belong_to(images.sizes)
    matches = head.matcher.match(anchors.boxes.expand(2, -1, 4), belongs, targets)
    is_between = belongs & ~matches.is_positive & ~matches.is_negative
    assert is_between.any(dim=1).all()
    assert torch.equal(counted, belongs & ~is_between)
    assert not belongs[1].all()
    assert torch.equal(labels < NUM_CLASSES, matches.is_positive)
    assert set(labels[0].tolist()) == {0, 1, 2, NUM_CLASSES}


def test_with_a_border_only_anchors_that_keep_to_it_are_trained_on() -> None:
    head, recording = make_retina_head(), RecordingLoss()
    head.class_loss = recording  # type: ignore[assignment]
    head.allowed_border = 0.0
    images, targets = make_batch()
    head.losses(random_pyramid(), images, targets)
    anchors, counted = head(random_pyramid()).anchors, torch.cat(recording.counted, dim=1)
    assert counted.any()
    assert (anchors.lie_inside(images.sizes, border=0) | ~counted).all()


def test_a_picture_without_positives_counts_as_one_in_the_average_over_a_batch() -> None:
    head = make_retina_head()
    alone = [head.losses(*one_picture(row)) for row in range(2)]
    anchors = head(random_pyramid()).anchors
    images, targets = make_batch((3, 0))
    everyone = anchors.belong_to(images.sizes)
    num_positive = head.matcher.match(anchors.boxes.expand(2, -1, 4), everyone, targets).is_positive.sum(
        dim=1
    )
    assert num_positive[0] > 1
    assert num_positive[1] == 0
    together = head.losses(random_pyramid(), images, targets)
    for name, loss in together.items():
        wanted = (alone[0][name] * num_positive[0] + alone[1][name]) / (num_positive[0] + 1)
        torch.testing.assert_close(loss, wanted)
    assert alone[1]["retina_box"] == 0


def test_averaged_picture_by_picture_each_picture_weighs_the_same() -> None:
    head = make_retina_head(averaging="picture")
    alone = [head.losses(*one_picture(row)) for row in range(2)]
    for name, loss in head.losses(random_pyramid(), *make_batch((3, 0))).items():
        torch.testing.assert_close(loss, (alone[0][name] + alone[1][name]) / 2)


@pytest.mark.parametrize("num_boxes", [(3, 2), (0, 0)])
@pytest.mark.parametrize("box_loss", [None, OverlapLoss(kind="giou")])
def test_every_parameter_gets_a_finite_gradient(
    num_boxes: tuple[int, int], box_loss: OverlapLoss | None
) -> None:
    head = make_retina_head(norm="group")
    if box_loss is not None:
        head.box_loss = box_loss
    losses = head.losses(random_pyramid(), *make_batch(num_boxes))
    torch.stack([*losses.values()]).sum().backward()  # type: ignore[no-untyped-call]
    assert losses["retina_class"] > 0
    assert (losses["retina_box"] > 0) == (sum(num_boxes) > 0)
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        of_boxes = name.startswith(("deltas", "box_convs"))
        assert (parameter.grad != 0).any() or (of_boxes and sum(num_boxes) == 0), name


def test_losses_under_bfloat16_autocast_are_float32_and_near() -> None:
    head = make_retina_head()
    exact = head.losses(random_pyramid(), *make_batch())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = head.losses(random_pyramid(), *make_batch())
    for name, loss in exact.items():
        assert rough[name].dtype == torch.float32
        torch.testing.assert_close(rough[name], loss, rtol=0.02, atol=0)


def test_under_autocast_scores_have_all_their_digits_where_they_are_ranked() -> None:
    head, pyramid = make_retina_head(), random_pyramid()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert {level.dtype for level in head(pyramid).logits} == {torch.bfloat16}
        ranked = head.eval()(pyramid).logits
    assert {level.dtype for level in ranked} == {torch.float32}
    values = torch.cat([level.flatten() for level in ranked])
    assert not torch.equal(values, values.bfloat16().float())


def test_candidates_are_the_best_pairs_of_each_level() -> None:
    head = make_retina_head(num_candidates=20)
    make_lively(head)
    sizes = make_batch()[0].sizes
    with torch.no_grad():
        predictions, candidates = head(random_pyramid()), head.candidates(random_pyramid(), sizes)
    assert candidates.boxes.shape == (2, 60, 1, 4)
    assert candidates.scores.shape == (2, 60, NUM_CLASSES)
    anchors = predictions.anchors
    boxes = head.coder.decode(predictions.deltas, anchors.boxes)
    scores = torch.cat(predictions.logits, dim=1).sigmoid()
    scores = scores.where(anchors.belong_to(sizes)[..., None], 0.0)
    for picture in range(2):
        start = 0
        for level, length in enumerate(LEVEL_LENGTHS):
            pairs = scores[picture, start : start + length].flatten().topk(20)
            wanted = {
                (start + pair // NUM_CLASSES, pair % NUM_CLASSES): score
                for pair, score in zip(pairs.indices.tolist(), pairs.values.tolist(), strict=True)
            }
            rows, labels = candidates.scores[picture, 20 * level : 20 * (level + 1)].nonzero(as_tuple=True)
            rows = rows + 20 * level
            found = {
                (
                    int((boxes[picture] - candidates.boxes[picture, row, 0]).abs().sum(dim=1).argmin()),
                    label,
                ): candidates.scores[picture, row, label].item()
                for row, label in zip(rows.tolist(), labels.tolist(), strict=True)
            }
            assert found == pytest.approx(wanted)
            start += length


@pytest.mark.parametrize("norm", [None, "group", "batch"])
def test_names_of_tensors_and_how_they_start(norm: str | None) -> None:
    head: RetinaHead = make_retina_head(norm=norm)  # type: ignore[arg-type]
    names = {name for name, _ in head.named_parameters()}
    ends = ("weight", "bias")
    outputs = {f"{layer}.{end}" for layer in ("class_logits", "deltas") for end in ends}
    towers = {f"{side}_convs.{index}" for side in ("class", "box") for index in range(2)}
    if norm is None:
        assert names == outputs | {f"{conv}.{end}" for conv in towers for end in ends}
    else:
        norms = {f"{conv}.norm.{end}" for conv in towers for end in ends}
        assert names == outputs | norms | {f"{conv}.weight" for conv in towers}
    assert head.class_logits.weight.shape[0] == head.class_rows["class_logits"].num_rows(NUM_CLASSES)
    assert head.class_logits.bias is not None
    torch.testing.assert_close(head.class_logits.bias.sigmoid(), torch.full((18,), 0.01))
    assert not head.get_parameter("deltas.bias").any()
    for conv in (head.class_logits, head.deltas, *head.class_convs, *head.box_convs):
        weights = conv.get_parameter("weight")
        assert abs(weights.std().item() / 0.01 - 1) < 4 / math.sqrt(2 * weights.numel())
