"""A batch that goes through the model in parts trains it as it would in one piece."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.noise import make_noise_batch
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.engine.training.step_gradients import StepGradients, StepLosses
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec
from tests.tiny_network import tiny_network

NUM_BOXES = (0, 7, 1, 4)
"""Of each picture: so many positives that the counts of two parts are very unequal."""
MASK = "model.head.mask={pool_cells: 7, num_convs: 1, channels: 8}"


def batch_with(num_boxes: tuple[int, ...]) -> Batch:
    batch = make_noise_batch(
        Size(64, 96), num_pictures=len(num_boxes), num_boxes=8, num_classes=2, with_masks=True
    )
    is_valid = torch.arange(batch.targets.is_valid.shape[1]) < torch.tensor(num_boxes)[:, None]
    return replace(batch, targets=replace(batch.targets, is_valid=is_valid))


def part_of(batch: Batch, rows: slice) -> Batch:
    images, targets = batch.images, batch.targets
    assert targets.masks is not None
    return Batch(
        ImageBatch(images.pixels[rows], images.sizes[rows], images.keys[rows]),
        Targets(targets.boxes[rows], targets.labels[rows], targets.is_valid[rows], targets.masks[rows]),
        batch.records[rows],
    )


def gradients_of(model: nn.Module, batches: list[Batch]) -> tuple[StepLosses, dict[str, Tensor]]:
    model.zero_grad(set_to_none=True)
    maker = StepGradients(model, device=torch.device("cpu"), numerics=Numerics())
    losses = maker.make(batches)
    return losses, {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def build(*settings: str) -> Detector:
    spec = load_spec(preset="demo", settings=[*settings]).spec
    torch.manual_seed(0)
    with tiny_network():
        return build_detector(spec, num_classes=2, trains=True).double().train()


@pytest.mark.parametrize(
    "settings",
    [[MASK], ["model.head.kind=fcos"], ["model.head.kind=retinanet"]],
    ids=["mask_rcnn", "fcos", "retinanet"],
)
def test_the_gradients_of_parts_add_up_to_those_of_the_batch(settings: list[str]) -> None:
    detector = build("norm={kind: group, num_groups: 2}", *settings)
    whole = batch_with(NUM_BOXES)
    parts = [part_of(whole, slice(0, 1)), part_of(whole, slice(1, 4))]
    expected_losses, expected = gradients_of(detector, [whole])
    losses, found = gradients_of(detector, parts)
    assert losses.names == expected_losses.names
    assert losses.values.shape == (2, len(losses.names))
    torch.testing.assert_close(losses.values.sum(dim=0), expected_losses.values[0], rtol=1e-5, atol=1e-6)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-8, atol=1e-10, msg=name)

    # Shows that this can fail: means of the parts' own gradients are something else.
    each = [gradients_of(detector, [part])[1] for part in parts]
    naive = {name: sum(part[name] for part in each) / 2 for name in expected}
    assert not all(
        torch.allclose(torch.as_tensor(naive[name]), expected[name], rtol=1e-2) for name in expected
    )


def test_batch_norms_record_each_part_once() -> None:
    counted, plain = (build("norm={kind: batch}") for _ in range(2))
    parts = [batch_with((3,)), batch_with((2, 5))]
    gradients_of(counted, parts)
    for part in parts:
        plain(part.images, part.targets)
    for (name, found), (_, expected) in zip(counted.named_buffers(), plain.named_buffers(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12, msg=name)
