from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.noise import make_noise_batch
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.evaluation.validation_loss import ValidationLoss
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec
from tests.tiny_network import tiny_network

CPU = torch.device("cpu")


def batch_of(num_pictures: int, *, num_boxes: int = 3) -> Batch:
    return make_noise_batch(Size(64, 96), num_pictures=num_pictures, num_boxes=num_boxes, num_classes=2)


def loss_of(model: nn.Module, *batches: Batch) -> dict[str, float]:
    losses = ValidationLoss(model, device=CPU, numerics=Numerics())
    for batch in batches:
        losses.add(batch)
    return losses.means()


class Counting(nn.Module):
    """Its losses are the number of pictures and of rows; remembers the modes it was called in."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.ModuleDict({"norm": nn.BatchNorm2d(2), "group": nn.GroupNorm(1, 2)})
        self.weight = nn.Parameter(torch.ones(()))
        self.modes: list[list[bool]] = []
        self.needs_gradient: list[bool] = []

    def forward(self, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        self.modes.append([module.training for module in (self, self.head, *self.head.values())])
        losses = {"pictures": self.weight * len(images.keys), "rows": self.weight * targets.labels.shape[1]}
        self.needs_gradient.append(losses["rows"].requires_grad)
        return losses


def test_each_picture_counts_alike_whatever_its_batch() -> None:
    # (1 * 1 + 3 * 3) / 4 pictures; make_noise_batch has as many rows as boxes, (1 * 8 + 3 * 16) / 4
    batches = batch_of(1, num_boxes=8), batch_of(3, num_boxes=16)
    assert [batch.targets.labels.shape[1] for batch in batches] == [8, 16]
    assert loss_of(Counting(), *batches) == {"pictures": 2.5, "rows": 14.0}


def test_all_but_the_norms_is_as_in_training_and_afterwards_as_before() -> None:
    model = Counting().eval()
    model.head.training = True
    loss_of(model, batch_of(1))
    assert model.modes == [[True, True, False, True]]
    assert [module.training for module in (model, model.head, *model.head.values())] == [
        False,
        True,
        False,
        False,
    ]
    assert model.needs_gradient == [False]
    assert current_world().size == 1


def test_without_pictures_there_is_no_loss() -> None:
    batch = batch_of(2)
    nothing = replace(
        batch,
        images=ImageBatch(batch.images.pixels[:0], batch.images.sizes[:0], batch.images.keys[:0]),
        records=(),
    )
    model = Counting()
    assert loss_of(model) == {}
    assert loss_of(model, nothing) == {}
    assert model.modes == []


@pytest.mark.parametrize("kind", ["faster_rcnn", "fcos"])
def test_it_is_the_loss_of_the_training_step_with_the_statistics_of_detection(kind: str) -> None:
    spec = load_spec(preset="demo", settings=[f"model.head.kind={kind}", "norm={kind: batch}"]).spec
    torch.manual_seed(0)
    with tiny_network():
        detector = build_detector(spec, num_classes=2, trains=True).train()
    batch = batch_of(2)
    for _ in range(2):  # statistics that are not those of the batch
        detector(batch_of(1).images, batch_of(1).targets)
    buffers = {name: buffer.clone() for name, buffer in detector.named_buffers()}

    found = loss_of(detector.eval(), batch)

    assert all(torch.equal(buffer, buffers[name]) for name, buffer in detector.named_buffers())
    for module in detector.train().modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    expected = detector(batch.images, batch.targets)
    assert found == {name: pytest.approx(loss.item(), rel=1e-6) for name, loss in expected.items()}
    assert found == loss_of(detector.eval(), batch), "samples are drawn by the pictures' keys"
