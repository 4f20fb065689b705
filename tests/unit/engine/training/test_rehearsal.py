import mmap
import random
from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.noise import make_noise_batch
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.engine.training.averaging import WeightAverage
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.engine.training.optimiser import AdamW, Sgd, build_optimiser
from hrdet_cli.engine.training.parameter_groups import Factors, ParameterGroups
from hrdet_cli.engine.training.rehearsal import fits_into_memory, is_out_of_memory, largest_fitting
from hrdet_cli.engine.training.reports import reset_peak_memory
from hrdet_cli.engine.training.schedule import Schedule, Warmup

CPU = torch.device("cpu")
MOMENTUM = Sgd(momentum=0.9)
ADAMW = AdamW(betas=(0.9, 0.99), epsilon=1e-8)
BATCH = make_noise_batch(Size(64, 96), num_pictures=3, num_boxes=9, num_classes=2)


class Detector(nn.Module):
    """Weights, running statistics, a buffer that is not saved, and draws from torch's generator."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("num_calls", torch.zeros(()), persistent=False)
        self.momenta_seen: list[bool] = []
        self.optimiser: torch.optim.Optimizer | None = None
        self.factor = 1.0

    def forward(self, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        assert isinstance(self.num_calls, Tensor)
        self.num_calls += 1
        if self.optimiser is not None:
            self.momenta_seen.append("momentum_buffer" in self.optimiser.state[self.conv.weight])
        features = F.dropout(self.norm(self.conv(images.pixels.float() / 255)).relu(), 0.5)
        return {"box": (features.mean((2, 3)) - targets.boxes[:, 0]).abs().mean() * self.factor}


class Loader:
    num_steps_per_epoch = 4
    num_images_per_step = 2

    def batches(self, epoch: int, *, first_step: int = 0) -> Iterator[Batch]:
        for step in range(first_step, self.num_steps_per_epoch):
            yield make_noise_batch(
                Size(64, 64 + 32 * step), num_pictures=2, num_boxes=epoch + 1, num_classes=2
            )


def build_trainer(detector: Detector, rule: Sgd | AdamW = MOMENTUM, *, accumulate_steps: int = 1) -> Trainer:
    groups = ParameterGroups(norm=Factors(learning_rate=0.5))
    optimiser = build_optimiser(detector, rule, weight_decay=1e-4, groups=groups)
    detector.optimiser = optimiser
    return Trainer(
        model=detector,
        optimiser=optimiser,
        schedule=Schedule(learning_rate=0.05, warmup=Warmup(num_steps=0, factor=0.5), decay=None),
        loader=Loader(),
        num_epochs=2,
        clip_norm=0.1,
        device=CPU,
        numerics=Numerics(),
        stop_asked=lambda: False,
        average=WeightAverage(detector, decay=0.9),
        accumulate_steps=accumulate_steps,
    )


def flatten(value: object, where: str = "") -> dict[str, object]:
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flatten(item, f"{where}/{key}").items()}
    if isinstance(value, list):
        return flatten(dict(enumerate(value)), where)
    return {where: value.tolist() if isinstance(value, Tensor) else value}


def end_of(
    rule: Sgd | AdamW, rehearse: Callable[[Trainer], object]
) -> tuple[dict[str, object], list[float], object]:
    """Final state, losses and generator of a run that rehearses first and in its middle."""
    detector = Detector()
    trainer = build_trainer(detector, rule)
    losses = []
    for num_steps in (3, 1, 4):
        rehearse(trainer)
        losses += [report.loss for report in islice(trainer.train_epoch(), num_steps)]
    state = flatten(trainer.state_dict()) | flatten(dict(detector.named_buffers()), "buffers")
    return state, losses, torch.rand(3).tolist()


@pytest.mark.parametrize("rule", [MOMENTUM, ADAMW], ids=["sgd", "adamw"])
def test_a_rehearsal_changes_no_bit_of_weights_average_statistics_momenta_losses_and_generator(
    rule: Sgd | AdamW,
) -> None:
    assert end_of(rule, lambda trainer: trainer.rehearse(BATCH)) == end_of(rule, lambda _: None)


def test_a_rehearsal_before_the_first_step_leaves_no_optimiser_state_gradient_or_draw() -> None:
    detector = Detector()
    trainer = build_trainer(detector)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    trainer.rehearse(BATCH)
    assert trainer.state_dict()["optimiser"]["state"] == {}
    assert all(parameter.grad is None for parameter in detector.parameters())
    assert (trainer.step, trainer.last_batch) == (0, None)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert str(np.random.get_state()) == str(states[2])


def test_of_a_step_of_many_batches_two_are_made_each_looked_at_twice() -> None:
    detector = Detector()
    trainer = build_trainer(detector, accumulate_steps=8)
    before = flatten(trainer.state_dict())
    trainer.rehearse(BATCH)
    assert detector.momenta_seen == [True] * 4
    assert flatten(trainer.state_dict()) == before


def test_the_momenta_of_later_steps_are_in_memory_in_a_rehearsed_first_step() -> None:
    detector = Detector()
    build_trainer(detector).rehearse(BATCH)
    assert detector.momenta_seen == [True]


def test_a_rehearsal_whose_loss_is_not_finite_is_still_forgotten() -> None:
    detector = Detector()
    trainer = build_trainer(detector)
    before = flatten(trainer.state_dict())
    detector.factor = float("inf")
    trainer.rehearse(BATCH)
    assert flatten(trainer.state_dict()) == before
    assert not trainer.is_last_batch_suspect


def test_a_rehearsal_tells_time_and_memory_and_forgets_earlier_peaks() -> None:
    if not reset_peak_memory(CPU):
        pytest.skip("this system does not let a process forget its peak")
    trainer = build_trainer(Detector())
    trainer.rehearse(BATCH)  # what is loaded in a first step stays
    with mmap.mmap(-1, 2**27) as held:  # given back at once, unlike what an allocator may keep
        held[:: mmap.PAGESIZE] = b"1" * (len(held) // mmap.PAGESIZE)
        with_ballast = trainer.rehearse(BATCH)
    without = trainer.rehearse(BATCH)
    assert with_ballast.seconds > 0
    # A machine that is short of memory may have moved some of it out meanwhile.
    assert with_ballast.peak_memory_bytes - without.peak_memory_bytes > 2**26


def test_a_rehearsal_is_no_step_of_the_average() -> None:
    trainer = build_trainer(Detector())
    trainer.rehearse(BATCH)
    assert trainer.state_dict()["ema_num_steps"] == 0


@pytest.mark.parametrize("most", [1, 2, 3, 12, 100])
def test_the_largest_number_that_fits_is_found_in_few_trials(most: int) -> None:
    for limit in range(most + 3):
        tried: list[int] = []

        def fits(number: int, *, limit: int = limit, tried: list[int] = tried) -> bool:
            tried.append(number)
            return number <= limit

        assert largest_fitting(fits, most=most) == min(limit, most)
        assert len(set(tried)) == len(tried)
        assert max(tried) <= most
        assert len(tried) <= 2 * (most.bit_length() + 1)


def test_the_ways_of_being_out_of_memory_are_known() -> None:
    with pytest.raises(RuntimeError) as host:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(host.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    for words in (
        "CUDA error: out of memory",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "Triton Error [CUDA]: out of memory",
        "upsample_nearest_nhwc only supports grad_output tensors with less than INT_MAX elements, but got",
    ):
        assert is_out_of_memory(RuntimeError(words))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_a_batch_that_does_not_fit_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Detector()
    trainer = build_trainer(detector)

    def fail(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(detector, "forward", fail)
    assert not fits_into_memory(lambda: trainer.rehearse(BATCH))
    assert trainer.last_batch is None


def test_only_an_error_for_want_of_memory_means_that_something_does_not_fit() -> None:
    def fail(error: Exception) -> None:
        raise error

    assert fits_into_memory(lambda: None)
    assert not fits_into_memory(lambda: fail(torch.OutOfMemoryError("CUDA out of memory")))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        fits_into_memory(lambda: fail(RuntimeError("shapes do not match")))
