"""A detector that hides the padding makes the same of pictures on every canvas."""

from copy import deepcopy

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode

from hrdet_cli.engine.models.boxes import nms
from hrdet_cli.engine.structures import ImageBatch, Size, Targets
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec
from tests.canvases import (
    CANVASES,
    HRNET,
    NUM_CLASSES,
    NUM_LABELS,
    PICTURES,
    RESNET,
    batch_on,
    largest_difference,
    lively_detector,
    train_and_detect,
)
from tests.tiny_network import tiny_network

pytestmark = pytest.mark.slow


def norms_everywhere(norm: str) -> list[str]:
    """In neck and heads, of which the region head needs convolutions for that, and the RPN gets several."""
    return [
        f"model.neck.norm={norm}",
        f"model.head.rpn={{num_convs: 2, norm: {norm}}}",
        f"model.head.roi_head={{num_convs: 2, conv_channels: 32, norm: {norm}, num_hidden_layers: 1}}",
    ]


def outcomes_of(network: tuple[str, tuple[str, ...]], *settings: str) -> list[dict[str, Tensor]]:
    """On each canvas, the largest with more rows of ground truth, as with a fuller picture in the batch."""
    return [
        train_and_detect(
            lively_detector(network, *settings),
            *batch_on(canvas, num_rows=16 if canvas == CANVASES[-1] else 8),
        )
        for canvas in CANVASES
    ]


RETINANET = ["model.head={kind: retinanet, channels: 32, num_convs: 2, norm: batch, anchor_scale: 2}"]
FCOS = [
    "model.head={kind: fcos, channels: 32, num_convs: 2, norm: group, range_ends_pixels: [12, 24, 48, 96]}"
]
LOSSES = ("rpn_", "roi_", "semantic", "retina_", "fcos_")
HYBRID = [
    "model.head.kind=cascade_rcnn",
    "model.head.rpn={anchor_scale: 6, num_train_proposals: 100, num_test_proposals: 60}",
    "model.head.roi_head={num_samples: 32, hidden_features: 32, pool_cells: 3, score_threshold: 0.001}",
    "model.head.mask={flow: true, interleaved: true, num_convs: 1, channels: 8, pool_cells: 4, norm: batch}",
    f"model.head.semantic={{num_labels: {NUM_LABELS}, num_convs: 1, pool_cells: 6}}",
    "data.train.label_maps=maps",
]
"""With all that cascades and masks have."""


@pytest.mark.parametrize(
    ("network", "settings"),
    [
        (HRNET, ["norm.kind=batch"]),
        (HRNET, ["model.head.roi_head.pool_aligned=false", "model.activation_checkpointing=true"]),
        (HRNET, [*norms_everywhere("batch"), "norm.kind=sync"]),
        (HRNET, norms_everywhere("group")),
        (HRNET, [*RETINANET, "norm.kind=batch"]),
        (HRNET, FCOS),
        (HRNET, HYBRID),
        (RESNET, []),
    ],
    ids=[
        "HRNet",
        "HRNet, recomputed, RoIAlign of 2019",
        "HRNet, batch norms everywhere",
        "HRNet, group norms in neck and heads",
        "HRNet, RetinaNet with batch norms",
        "HRNet, FCOS with group norms",
        "HRNet, HTC with batch norms of masks",
        "ResNet",
    ],
)
def test_losses_gradients_statistics_and_detections_are_equal_on_three_canvases(
    network: tuple[str, tuple[str, ...]], settings: list[str]
) -> None:
    first, *others = outcomes_of(network, *settings, "norm.statistics=valid")
    assert first["is_valid"].sum() > 100
    losses = [value for name, value in first.items() if name.startswith(LOSSES)]
    assert all(loss > 0.001 for loss in losses if loss.dim() == 0)
    for other in others:
        assert largest_difference(other, first) < 1e-9


def test_with_statistics_of_all_pixels_they_are_not() -> None:
    first, *others = outcomes_of(HRNET, "norm.statistics=all")
    assert all(largest_difference(other, first) > 0.1 for other in others)


def test_a_canvas_of_an_odd_multiple_of_32_gives_the_same_again() -> None:
    tight, loose = (
        train_and_detect(lively_detector(HRNET, "norm.statistics=valid"), *batch_on(canvas))
        for canvas in (Size(96, 160), CANVASES[-1])
    )
    assert largest_difference(tight, loose) < 1e-9


@pytest.mark.parametrize("head", [[], RETINANET, FCOS], ids=["Faster R-CNN", "RetinaNet", "FCOS"])
def test_what_is_detected_in_a_picture_does_not_depend_on_its_company_or_canvas(head: list[str]) -> None:
    detector = lively_detector(HRNET, *head, "norm.statistics=valid")
    train_and_detect(detector, *batch_on(CANVASES[0]))  # running statistics with which it detects something
    images, _ = batch_on(CANVASES[1])
    together = detector.detect(images)
    for number, size in enumerate(PICTURES):
        canvas = Size(-(-size.height // 32) * 32, -(-size.width // 32) * 32)
        alone = detector.detect(batch_on(canvas, pictures=[number])[0])
        assert alone.is_valid.sum() > 30
        for one, other in ((alone.boxes, together.boxes), (alone.scores, together.scores)):
            torch.testing.assert_close(one[0], other[number], rtol=1e-9, atol=1e-9)
        assert torch.equal(alone.labels[0], together.labels[number])


def test_a_picture_as_large_as_its_canvas_is_seen_as_with_statistics_of_all_pixels() -> None:
    """Of whole multiples of 64, where both necks have the same cells."""
    images, targets = batch_on(Size(64, 128), pictures=[2])
    images.sizes.copy_(torch.tensor([[64, 128]]))
    valid, every = (
        train_and_detect(lively_detector(HRNET, f"norm.statistics={statistics}"), images, targets)
        for statistics in ("valid", "all")
    )
    assert largest_difference(valid, every) < 1e-9


def seven_best(boxes: Tensor, scores: Tensor, max_iou: float) -> Tensor:
    return scores.topk(7).indices


@pytest.mark.parametrize("head", [[], RETINANET, FCOS], ids=["Faster R-CNN", "RetinaNet", "FCOS"])
def test_hiding_the_padding_needs_no_value_from_the_device(
    head: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Fake tensors have shapes and no values: reading one, or making a shape of one, raises.
    monkeypatch.setattr(nms, "nms", seven_best)
    spec = load_spec(preset="demo", settings=[*head, "norm.statistics=valid"]).spec
    with tiny_network():
        detector = build_detector(spec, num_classes=NUM_CLASSES, trains=True)
    mode = FakeTensorMode()
    with FakeCopyMode(mode):
        detector = deepcopy(detector)
    with mode:
        images = ImageBatch(
            pixels=torch.zeros(2, 3, 128, 192, dtype=torch.uint8),
            sizes=torch.zeros(2, 2, dtype=torch.int64),
            keys=torch.zeros(2, dtype=torch.int64),
        )
        targets = Targets(
            boxes=torch.zeros(2, 8, 4),
            labels=torch.zeros(2, 8, dtype=torch.int64),
            is_valid=torch.zeros(2, 8, dtype=torch.bool),
        )
        torch.autograd.backward(torch.stack([*detector(images, targets).values()]).sum())
        assert all(parameter.grad is not None for parameter in detector.parameters())
