"""Backend ``aot_eager`` makes the graphs that are made for a device, and computes them by plain operators."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, fx

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.models.one_stage import OneStageHead
from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.engine.training.averaging import WeightAverage
from hrdet_cli.engine.training.compiled_losses import compile_losses
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.engine.training.optimiser import Sgd, build_optimiser
from hrdet_cli.engine.training.reports import StepReport
from hrdet_cli.engine.training.schedule import Schedule, Warmup
from hrdet_cli.engine.training.step_gradients import Losses
from tests import cascades, dense_heads
from tests.tiny_detectors import (
    SELECTOR,
    make_detector,
    noise_pictures,
    one_box_detector,
    two_stage_detector,
)

pytestmark = pytest.mark.slow

CANVASES = ((64, 64), (64, 96))


class Counting:
    """A backend that counts the graphs it is given."""

    def __init__(self, *, with_backward: bool = True) -> None:
        self.num_graphs = 0
        self._with_backward = with_backward

    def __call__(self, graph: fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        from torch._dynamo.backends.debugging import aot_eager

        self.num_graphs += 1
        compiled: Callable[..., Any] = aot_eager(graph, inputs) if self._with_backward else graph.forward
        return compiled


@pytest.fixture(autouse=True, scope="module")
def forgotten() -> Iterator[None]:
    yield
    torch.compiler.reset()


class TwoCanvases:
    """The same pictures on one canvas and on another, in turn."""

    num_steps_per_epoch = 4
    num_images_per_step = 2

    def batches(self, epoch: int, *, first_step: int = 0) -> Iterator[Batch]:  # noqa: ARG002 - a loader's
        for step in range(first_step, self.num_steps_per_epoch):
            yield Batch(noise_pictures(*CANVASES[step % 2]), cascades.TARGETS, ())


def trainer_of(detector: Detector, losses: Losses | None) -> Trainer:
    return Trainer(
        model=detector,
        optimiser=build_optimiser(detector, Sgd(momentum=0.9), weight_decay=1e-4),
        schedule=Schedule(learning_rate=0.01, warmup=Warmup(num_steps=0, factor=1.0), decay=None),
        loader=TwoCanvases(),
        num_epochs=1,
        clip_norm=5.0,
        device=torch.device("cpu"),
        numerics=Numerics(),
        stop_asked=lambda: False,
        average=WeightAverage(detector, decay=0.5),
        losses=losses,
    )


class Training(NamedTuple):
    trainer: Trainer
    reports: list[StepReport]


class Trainings(NamedTuple):
    eager: Training
    compiled: Training
    backend: Counting


@pytest.fixture(scope="module")
def trainings() -> Trainings:
    """An epoch, computed both ways."""
    plain, detector, backend = one_box_detector(), one_box_detector(), Counting()
    losses = compile_losses(detector, "step", num_graphs=len(CANVASES), backend=backend)
    eager, compiled = trainer_of(plain, None), trainer_of(detector, losses)
    return Trainings(
        Training(eager, [*eager.train_epoch()]), Training(compiled, [*compiled.train_epoch()]), backend
    )


def test_a_step_is_one_graph_for_each_canvas(trainings: Trainings) -> None:
    assert trainings.backend.num_graphs == len(CANVASES)


def test_losses_and_gradients_are_those_of_eager_steps(trainings: Trainings) -> None:
    assert len(trainings.compiled.reports) == 4
    for ours, theirs in zip(trainings.compiled.reports, trainings.eager.reports, strict=True):
        assert ours.losses == pytest.approx(theirs.losses, rel=1e-9)
        assert ours.gradient_norm == pytest.approx(theirs.gradient_norm, rel=1e-9)


def test_checkpoints_have_the_same_names_and_values_and_eager_runs_go_on_with_them(
    trainings: Trainings,
) -> None:
    state = trainings.compiled.trainer.state_dict()
    torch.testing.assert_close(state, trainings.eager.trainer.state_dict(), rtol=1e-9, atol=1e-12)
    other = trainer_of(one_box_detector(), None)
    other.load_state_dict(state)
    assert other.is_finished


def test_detection_is_not_compiled(trainings: Trainings) -> None:
    before = trainings.backend.num_graphs
    for training in trainings[:2]:
        averaged = training.trainer.averaged_model
        assert isinstance(averaged, Detector)
        found = averaged.eval().detect(noise_pictures(64, 128))
        assert found.is_valid.any()
    assert trainings.backend.num_graphs == before


def gradients(detector: Detector, losses: Losses, images: ImageBatch, targets: Targets) -> list[Tensor]:
    """And the losses."""
    found = losses(images, targets)
    torch.autograd.backward(torch.stack([*found.values()]).sum())
    given = [*found.values(), *(p.grad for p in detector.parameters() if p.grad is not None)]
    detector.zero_grad(set_to_none=True)
    return [tensor.detach() for tensor in given]


@pytest.mark.parametrize("hides_padding", [False, True])
def test_backbone_and_neck_are_one_graph_however_many_boxes_there_are(hides_padding: bool) -> None:
    detector, backend = one_box_detector(hides_padding=hides_padding), Counting()
    losses = compile_losses(detector, "model", num_graphs=1, backend=backend)
    images, targets = noise_pictures(64, 64), cascades.TARGETS
    for truth in (targets, first_row_of(targets)):
        expected = gradients(detector, detector, images, truth)
        torch.testing.assert_close(
            gradients(detector, losses, images, truth), expected, rtol=1e-9, atol=1e-12
        )
    assert backend.num_graphs == 1


def first_row_of(targets: Targets) -> Targets:
    masks = None if targets.masks is None else targets.masks[:, :1]
    return Targets(targets.boxes[:, :1], targets.labels[:, :1], targets.is_valid[:, :1], masks)


def test_a_step_of_two_stages_with_masks_is_one_graph_with_the_same_gradients() -> None:
    detector, backend = two_stage_detector(), Counting()
    losses = compile_losses(detector, "step", num_graphs=1, backend=backend)
    images, targets = noise_pictures(64, 64), cascades.TARGETS
    expected = gradients(detector, detector, images, targets)
    torch.testing.assert_close(gradients(detector, losses, images, targets), expected, rtol=1e-9, atol=1e-12)
    assert backend.num_graphs == 1


def cascade_detector() -> Detector:
    return make_detector(
        partial(cascades.make_head, cascades.draw_some),
        channels=cascades.CHANNELS,
        strides=(cascades.STRIDE,),
    )


def point_detector() -> Detector:
    def make_head() -> OneStageHead:
        return OneStageHead(name="dense", dense=dense_heads.make_fcos_head(), selector=SELECTOR)

    return make_detector(make_head, channels=dense_heads.CHANNELS, strides=dense_heads.STRIDES)


@pytest.mark.parametrize("build", [cascade_detector, point_detector])
def test_other_heads_are_part_of_one_graph_under_autocast(build: Callable[[], Detector]) -> None:
    detector, backend = build().float(), Counting(with_backward=False)
    losses = compile_losses(detector, "step", num_graphs=1, backend=backend)
    images, targets = noise_pictures(64, 64), as_floats(cascades.TARGETS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(losses(images, targets), detector(images, targets))
    assert backend.num_graphs == 1


def as_floats(targets: Targets) -> Targets:
    return Targets(targets.boxes.float(), targets.labels, targets.is_valid, targets.masks)
