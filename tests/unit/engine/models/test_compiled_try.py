"""Losses of a training step as one graph of ``torch.compile``."""

import copy

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from hrdet_cli.engine.structures import ImageBatch, Size, Targets
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec

CANVAS = Size(128, 160)
DETECTORS = {
    "faster_rcnn": [],
    "mask_rcnn": ["model.head.mask={num_convs: 2, channels: 48}"],
    "retinanet": ["model.head.kind=retinanet"],
    "fcos": ["model.head.kind=fcos"],
}


def make_batch(*, num_rows: int) -> tuple[ImageBatch, Targets]:
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor([[128, 160], [96, 120]])
    start = torch.rand(2, num_rows, 2, generator=generator) * 40
    is_valid = torch.arange(num_rows) < torch.tensor([[3], [6]])
    images = ImageBatch(
        pixels=torch.randint(
            0, 256, (2, 3, CANVAS.height, CANVAS.width), generator=generator, dtype=torch.uint8
        ),
        sizes=sizes,
        keys=torch.tensor([1, 2]),
    )
    targets = Targets(
        boxes=torch.cat((start, start + 50), dim=-1) * is_valid[..., None],
        labels=torch.randint(0, 3, (2, num_rows), generator=generator) * is_valid,
        is_valid=is_valid,
        masks=torch.randint(0, 2, (2, num_rows, 112, 112), generator=generator, dtype=torch.uint8),
    )
    return images, targets


@pytest.mark.slow  # tracing 71 norms' layers and their gradients
@pytest.mark.parametrize("name", DETECTORS)
def test_losses_and_gradients_of_one_graph_are_those_of_the_detector(name: str) -> None:
    torch.manual_seed(0)
    spec = load_spec(preset="demo", settings=DETECTORS[name]).spec
    detector = build_detector(spec, num_classes=3, trains=True)
    twin = copy.deepcopy(detector)
    backend = CompileCounterWithBackend("aot_eager")
    torch.compiler.reset()
    compiled = torch.compile(twin, backend=backend, fullgraph=True, dynamic=False)
    for num_rows in (8, 8, 16):
        images, targets = make_batch(num_rows=num_rows)
        wanted, found = detector(images, targets), compiled(images, targets)
        assert list(found) == list(wanted)
        for loss_name, loss in wanted.items():
            torch.testing.assert_close(found[loss_name], loss, msg=loss_name)
        sum(wanted.values()).backward()
        sum(found.values()).backward()
    assert backend.frame_count == 2  # one for each number of rows
    for (parameter_name, parameter), other in zip(
        detector.named_parameters(), twin.parameters(), strict=True
    ):
        assert parameter.grad is not None
        assert other.grad is not None
        torch.testing.assert_close(other.grad, parameter.grad, rtol=1e-3, atol=1e-5, msg=parameter_name)
