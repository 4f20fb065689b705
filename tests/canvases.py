"""The same pictures on canvases of any size, and all that a detector makes of them."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import LABEL_MAP_STRIDE, UNLABELLED, ImageBatch, Size, Targets
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec
from tests.tiny_network import tiny_network

NUM_CLASSES, NUM_LABELS, MASK_CELLS = 3, 5, 28
PICTURES = (Size(90, 70), Size(64, 100), Size(33, 128))
"""Rounded up to 32 pixels, edges are odd and even multiples of it."""
CANVASES = (Size(128, 128), Size(128, 192), Size(192, 256))

HRNET = ("demo", ())
RESNET = (
    "r50-fpn-syncbn",
    (
        "model.weights=null",
        "model.backbone.frozen_stages=0",
        "model.backbone.group_width=8",
        "model.neck.channels=16",
    ),
)
"""A preset and settings that make it small."""

OUTSPOKEN = {
    "rpn.objectness.weight": 30,
    "rpn.deltas.weight": 10,
    "roi_head.classifier.weight": 5,
    "roi_head.regressor.weight": 20,
    **{f"roi_head.stages.{stage}.classifier.weight": 5 for stage in range(3)},
    **{f"roi_head.stages.{stage}.regressor.weight": 20 for stage in range(3)},
    "retina_head.class_logits.weight": 30,
    "retina_head.class_logits.bias": 0.3,
    "retina_head.deltas.weight": 20,
    "fcos_head.class_logits.weight": 10,
    "fcos_head.class_logits.bias": 0.3,
    "fcos_head.distances.weight": 10,
}
"""What makes layers of random weights as sure as trained ones, those that a detector has."""


SMALL = 1e-3
"""A gradient of zero, as that of a bias before a norm, is a sum of numbers of about one."""


def lively_detector(network: tuple[str, Sequence[str]], *settings: str) -> Detector:
    """In float64, with biases that are not zero and weights with which it detects something."""
    preset, small = network
    spec = load_spec(preset=preset, settings=[*small, *settings]).spec
    torch.manual_seed(0)
    with tiny_network():
        detector = build_detector(spec, num_classes=NUM_CLASSES, trains=True).double()
    with torch.no_grad():
        for name, parameter in detector.named_parameters():
            if name.endswith("bias"):
                parameter.add_(0.1 * torch.randn_like(parameter))
        for name, factor in OUTSPOKEN.items():
            if name in dict(detector.named_parameters()):
                detector.get_parameter(name).mul_(factor)
    return detector


def batch_on(
    canvas: Size, *, pictures: Iterable[int] = range(len(PICTURES)), num_rows: int = 8
) -> tuple[ImageBatch, Targets]:
    """Some of the pictures, with their boxes, masks and label maps.

    Args:
        canvas: Large enough.
        pictures: Which.
        num_rows: G.
    """
    chosen = [*pictures]
    pixels = torch.zeros(len(chosen), 3, canvas.height, canvas.width, dtype=torch.uint8)
    boxes, labels = torch.zeros(len(chosen), num_rows, 4), torch.zeros(len(chosen), num_rows).long()
    is_valid = torch.zeros(len(chosen), num_rows, dtype=torch.bool)
    masks = torch.zeros(len(chosen), num_rows, MASK_CELLS, MASK_CELLS, dtype=torch.uint8)
    rows, columns = canvas.height // LABEL_MAP_STRIDE, canvas.width // LABEL_MAP_STRIDE
    semantic = torch.full((len(chosen), rows, columns), UNLABELLED, dtype=torch.uint8)
    for row, number in enumerate(chosen):
        size = PICTURES[number]
        generator = torch.Generator().manual_seed(number)
        pixels[row, :, : size.height, : size.width] = torch.randint(
            256, (3, size.height, size.width), generator=generator, dtype=torch.uint8
        )
        count = number + 2
        edges = torch.tensor([size.width, size.height])
        corners = torch.rand(count, 2, generator=generator) * 0.6 * edges
        sides = (torch.rand(count, 2, generator=generator) * 0.35 + 0.05) * edges
        boxes[row, :count] = torch.cat((corners, corners + sides), dim=1)
        labels[row, :count] = torch.arange(count) % NUM_CLASSES
        is_valid[row, :count] = True
        masks[row, :count] = torch.rand(masks[row, :count].shape, generator=generator) < 0.6
        map_rows, map_columns = size.height // LABEL_MAP_STRIDE, size.width // LABEL_MAP_STRIDE
        semantic[row, :map_rows, :map_columns] = torch.randint(
            NUM_LABELS, (map_rows, map_columns), generator=generator
        )
    sizes = torch.tensor([[PICTURES[number].height, PICTURES[number].width] for number in chosen])
    keys = torch.tensor(chosen) + 2**40
    return ImageBatch(pixels=pixels, sizes=sizes, keys=keys), Targets(
        boxes, labels, is_valid, masks, semantic
    )


def train_and_detect(detector: Detector, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
    """Losses, gradients and running statistics of a training step, then detections."""
    losses = detector.train()(images, targets)
    torch.autograd.backward(torch.stack([*losses.values()]).sum())
    with torch.inference_mode():
        found = detector.eval().detect(images)
    return {
        **{name: loss.detach() for name, loss in losses.items()},
        **{f"gradient of {name}": _gradient_of(p) for name, p in detector.named_parameters()},
        **{name: buffer.clone() for name, buffer in detector.named_buffers()},
        "boxes": found.boxes,
        "scores": found.scores,
        "labels": found.labels,
        "is_valid": found.is_valid,
        **({} if found.masks is None else {"masks": found.masks}),
    }


def largest_difference(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Relative to the largest value of each tensor, if that is not small; whole numbers have to be equal."""
    if list(found) != list(expected):
        raise AssertionError(f"{[*found]} are not {[*expected]}")
    worst = 0.0
    for name, exact in expected.items():
        difference = (found[name].double() - exact.double()).abs().max().item()
        if exact.is_floating_point():
            difference /= max(exact.abs().max().item(), SMALL)
        worst = max(worst, difference)
    return worst


def _gradient_of(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        raise AssertionError("no gradient reached a parameter")
    return parameter.grad.clone()
