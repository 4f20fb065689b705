"""Two processes with half a batch each train, stop and fail like one process with the whole."""

import math
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.distributed.failure import PeerError
from hrdet_cli.engine.models.boxes.denominators import denominator
from hrdet_cli.engine.norm.convert import convert_norm
from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.engine.training.averaging import WeightAverage
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.engine.training.optimiser import Sgd, build_optimiser
from hrdet_cli.engine.training.parameter_groups import Factors, ParameterGroups
from hrdet_cli.engine.training.reports import StepReport
from hrdet_cli.engine.training.schedule import Schedule, Warmup
from hrdet_cli.errors import DataError, NonFiniteLossError
from tests.distributed.process_group import gloo_group, run_processes

NUM_STEPS, BATCH_SIZE = 4, 6


class Regressor(nn.Module):
    """A convolution, a norm and a loss whose denominator is the number of pictures of all processes."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 1, 3))
        convert_norm(self, kind="sync")
        self.double()

    def forward(self, images: ImageBatch, targets: Targets) -> dict[str, Tensor]:
        found = self.layers(images.pixels.double() / 255).mean(dim=(1, 2, 3))
        wanted = targets.boxes[:, 0, 0].double()
        count = denominator(torch.tensor(float(len(found)), dtype=torch.float64), what="pictures")
        return {"square": (found - wanted).square().sum() / count}


class SlicedLoader:
    """Rows of one global batch a step; from ``spoilt_step`` on their boxes are not a number.

    That of ``broken_step`` cannot be read.
    """

    num_steps_per_epoch = NUM_STEPS
    num_images_per_step = BATCH_SIZE

    def __init__(self, rows: slice, *, spoilt_step: int = NUM_STEPS, broken_step: int = NUM_STEPS) -> None:
        self._rows = rows
        self._broken_step = broken_step
        self._spoilt_step = spoilt_step

    def batches(self, epoch: int, *, first_step: int = 0) -> Iterator[Batch]:
        assert epoch == 0
        for step in range(first_step, NUM_STEPS):
            generator = torch.Generator().manual_seed(step)
            pixels = torch.randint(0, 256, (BATCH_SIZE, 3, 8, 9), dtype=torch.uint8, generator=generator)
            boxes = torch.rand((BATCH_SIZE, 1, 4), generator=generator)
            if step == self._broken_step:
                raise DataError("a.jpg: is damaged")
            if step >= self._spoilt_step:
                boxes = boxes * math.nan
            images = ImageBatch(pixels[self._rows], torch.tensor([[8, 9]]), torch.tensor([step]))
            labels = torch.zeros((BATCH_SIZE, 1), dtype=torch.int64)
            targets = Targets(boxes[self._rows], labels[self._rows], labels[self._rows] == 0)
            yield Batch(images, targets, ())


def build_trainer(
    loader: SlicedLoader, *, stop_asked: Callable[[], bool] = lambda: False, accumulate_steps: int = 1
) -> Trainer:
    torch.manual_seed(0)
    model = Regressor()
    groups = ParameterGroups(norm=Factors(learning_rate=0.5, weight_decay=0.0))
    return Trainer(
        model=model,
        optimiser=build_optimiser(model, Sgd(momentum=0.9), weight_decay=1e-4, groups=groups),
        schedule=Schedule(learning_rate=0.1, warmup=Warmup(num_steps=2, factor=0.5), decay=None),
        loader=loader,
        num_epochs=1,
        clip_norm=0.05,
        device=torch.device("cpu"),
        numerics=Numerics(),
        stop_asked=stop_asked,
        average=WeightAverage(model, decay=0.6),
        accumulate_steps=accumulate_steps,
    )


def state_after(num_steps: int, loader: SlicedLoader, *, accumulate_steps: int = 1) -> dict[str, Any]:
    trainer = build_trainer(loader, accumulate_steps=accumulate_steps)
    for _ in islice(trainer.train_epoch(), num_steps):
        pass
    return trainer.state_dict()


def stops_told(loader: SlicedLoader, *, asked_here: bool) -> list[bool]:
    """What each report says when this process is asked to stop in the second step, or is not."""
    calls = iter(range(NUM_STEPS))
    trainer = build_trainer(loader, stop_asked=lambda: next(calls) == 1 and asked_here)
    return [report.stop_asked for report in trainer.train_epoch()]


def failure(loader: SlicedLoader) -> tuple[str, int, int, bool]:
    trainer = build_trainer(loader)
    try:
        for _ in trainer.train_epoch():
            pass
    except NonFiniteLossError as error:
        return error.loss_name, error.step, trainer.step, trainer.is_last_batch_suspect
    raise AssertionError("the loss that is not finite was not noticed")


def steps_before_a_broken_picture(loader: SlicedLoader) -> tuple[list[bool], dict[str, Any], str, int]:
    """What the reports say, the state in the last, and the error after it."""
    trainer = build_trainer(loader)
    reports: list[StepReport] = []
    try:
        reports.extend(trainer.train_epoch())  # those before the error stay
    except (DataError, PeerError) as error:
        flags = [report.lacks_next_batch for report in reports]
        return flags, trainer.state_dict(), str(error), error.exit_code
    raise AssertionError("the broken picture was not noticed")


class SlowLoader(SlicedLoader):
    """Many small steps, each of whose batches takes a while."""

    num_steps_per_epoch = 46

    def __init__(self, rows: slice, *, seconds: float) -> None:
        super().__init__(rows)
        self._seconds = seconds

    def batches(self, epoch: int, *, first_step: int = 0) -> Iterator[Batch]:
        (batch,) = islice(super().batches(epoch), 1)
        for _ in range(first_step, self.num_steps_per_epoch):
            time.sleep(self._seconds)
            yield batch


def stragglers(rows: slice, *, seconds: float) -> list[tuple[int, bool, str]]:
    """Rank, end and part of those that this process is told of."""
    trainer = build_trainer(SlowLoader(rows, seconds=seconds))
    told = (straggler for report in trainer.train_epoch() for straggler in report.stragglers)
    return [(straggler.rank, straggler.is_over, straggler.part) for straggler in told]


def work(rank: int, folder: str) -> None:
    """What each of two processes does; everything that needs two of them is in here."""
    with gloo_group(Path(folder, "store"), rank=rank, size=2):
        rows = slice(0, 2) if rank == 0 else slice(2, BATCH_SIZE)  # unequal on purpose
        loader = SlicedLoader(rows)
        results = {
            "end": state_after(NUM_STEPS, loader),
            "stragglers": stragglers(rows, seconds=0.02 * rank),
            "middle": state_after(2, loader),
            "accumulated": state_after(2, loader, accumulate_steps=3),
            "stops": stops_told(loader, asked_here=rank == 1),
            "failure": failure(SlicedLoader(rows, spoilt_step=2) if rank == 1 else loader),
            "broken": steps_before_a_broken_picture(
                SlicedLoader(rows, broken_step=2) if rank == 1 else loader
            ),
            "broken at once": steps_before_a_broken_picture(
                SlicedLoader(rows, broken_step=0) if rank == 1 else loader
            ),
        }
        torch.save(results, Path(folder) / f"{rank}.pt")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("training")
    run_processes(work, str(folder), size=2)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


def assert_same_weights(model: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert model.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(model[key], value, rtol=1e-9, atol=1e-9)


@pytest.mark.distributed
def test_two_processes_with_unequal_parts_train_to_the_weights_of_one(both: list[dict[str, Any]]) -> None:
    whole = state_after(NUM_STEPS, SlicedLoader(slice(None)))
    for results in both:
        for weights in ("model", "ema_model"):
            assert_same_weights(results["end"][weights], whole[weights])


@pytest.mark.distributed
def test_two_processes_accumulate_batches_as_one_does(both: list[dict[str, Any]]) -> None:
    # Four batches in steps of three: the second step has the one that is left.
    alone = state_after(2, SlicedLoader(slice(None)), accumulate_steps=3)
    assert alone["num_finished_epochs"] == 1
    for results in both:
        assert_same_weights(results["accumulated"]["model"], alone["model"])


@pytest.mark.distributed
def test_what_two_processes_began_one_finishes_to_the_same_weights(both: list[dict[str, Any]]) -> None:
    whole = state_after(NUM_STEPS, SlicedLoader(slice(None)))
    trainer = build_trainer(SlicedLoader(slice(None)))
    assert trainer.load_state_dict(both[0]["middle"]) is None
    assert [report.step for report in trainer.train_epoch()] == [3, 4]
    state = trainer.state_dict()
    for weights in ("model", "ema_model"):
        assert_same_weights(state[weights], whole[weights])
    assert state["ema_num_steps"] == NUM_STEPS


@pytest.mark.distributed
def test_all_processes_have_the_same_average_to_the_bit(both: list[dict[str, Any]]) -> None:
    first, second = (results["end"] for results in both)
    assert first["ema_num_steps"] == second["ema_num_steps"] == NUM_STEPS
    assert all(torch.equal(second["ema_model"][key], value) for key, value in first["ema_model"].items())


@pytest.mark.distributed
def test_a_stop_asked_of_one_process_is_told_to_all_in_the_same_step(both: list[dict[str, Any]]) -> None:
    for results in both:
        assert results["stops"] == [False, True, False, False]


@pytest.mark.distributed
def test_a_process_that_waits_for_its_data_is_named_to_all(both: list[dict[str, Any]]) -> None:
    assert both[0]["stragglers"] == both[1]["stragglers"]
    assert both[0]["stragglers"].count((1, False, "data")) == 1


@pytest.mark.distributed
def test_all_processes_fail_together_and_the_one_with_the_bad_batch_knows(both: list[dict[str, Any]]) -> None:
    assert both[0]["failure"] == ("square", 3, 2, False)
    assert both[1]["failure"] == ("square", 3, 2, True)


@pytest.mark.distributed
def test_all_leave_after_the_step_before_a_picture_that_one_of_them_cannot_read(
    both: list[dict[str, Any]],
) -> None:
    for result in both:
        flags, state, _, exit_code = result["broken"]
        assert flags == [False, True]
        assert exit_code == DataError.exit_code
        assert state["step"] == 2
        assert_same_weights(state["model"], result["middle"]["model"])
        assert result["broken at once"][0] == []
    assert both[1]["broken"][2] == "a.jpg: is damaged"
    assert both[0]["broken"][2].startswith("on rank 1 (")
    assert both[0]["broken"][2].endswith("a.jpg: is damaged")
