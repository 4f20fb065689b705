import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from hrdet_cli.engine.benchmarking.epoch_layout import lay_out_epoch
from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.loader import TrainingLoader
from hrdet_cli.engine.data.step_layout import BatchRequest
from hrdet_cli.engine.training.loop import Trainer
from hrdet_cli.engine.training.rehearsal import StepCost
from hrdet_cli.errors import OutOfMemoryError
from hrdet_cli.runs.benchmark_pad import measured_policy
from hrdet_cli.runs.benchmark_pad.comparison import PaddingComparison
from hrdet_cli.runs.benchmark_pad.measurement import compare_policies
from hrdet_cli.runs.build.steps import build_steps
from hrdet_cli.runs.dataset.opening import open_part
from hrdet_cli.runs.preflight import LargestBatches
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import load_spec

NUM_PROCESSES = 2
SECONDS_PER_PIXEL = 1e-3  # far more than reading takes


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def small_spec(data_root: Path, *settings: str) -> ExperimentSpec:
    chosen = [
        f"data.root={data_root}",
        "data.demo={seed: 1, num_train_images: 24, num_val_images: 2}",
        "data.batch_size_per_process=2",
        "data.num_workers=2",
        "augmentation.scales_pixels=[[160, 128], [128, 96]]",
        "padding.canvas_pixels=[160, 128]",
        *settings,
    ]
    return load_spec(preset="demo", settings=chosen).spec


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """Batches that were trained on; a step takes a millisecond and a byte for each pixel of its canvas."""
    batches: list[Batch] = []

    def rehearse(_trainer: Trainer, batch: Batch) -> StepCost:
        batches.append(batch)
        pixels = batch.images.canvas.num_pixels
        return StepCost(SECONDS_PER_PIXEL * pixels, pixels)

    monkeypatch.setattr(Trainer, "rehearse", rehearse)
    return batches


Events = Generator[WorkProgress, None, PaddingComparison]


def finish(events: Events) -> tuple[PaddingComparison, list[WorkProgress]]:
    told = []
    while True:
        try:
            told.append(next(events))
        except StopIteration as stop:
            return stop.value, told


def test_figures_weigh_what_was_measured_by_what_an_epoch_has(data_root: Path, trained: list[Batch]) -> None:
    spec = small_spec(data_root)
    comparison, told = finish(
        compare_policies(
            spec,
            ["fixed", "canvases", "batch"],
            num_processes=NUM_PROCESSES,
            num_repetitions=2,
            with_training=True,
        )
    )
    annotations = open_part(spec.data, "train").annotations
    for cost in comparison.costs:
        variant = spec.model_copy(update={"padding": cost.policy.padding})
        steps = build_steps(variant, annotations, num_processes=NUM_PROCESSES)
        layout = lay_out_epoch(steps, num_processes=NUM_PROCESSES)
        slowest = [max(canvas.num_pixels for canvas in step) for step in layout.canvases]
        every = [canvas.num_pixels for step in layout.canvases for canvas in step]
        training = cost.training
        assert training is not None
        assert training.hours_per_epoch * 3600 == pytest.approx(SECONDS_PER_PIXEL * sum(slowest))
        assert training.rate.median == pytest.approx(2 / (SECONDS_PER_PIXEL * sum(every) / len(every)))
        assert training.peak_memory_bytes == steps.largest_canvas.num_pixels
        assert not training.is_data_bound
        assert cost.useful_pixel_share == layout.useful_pixel_share
    assert comparison.num_imbalanced == NUM_PROCESSES
    assert all(len(batch) == 2 for batch in trained)
    assert (told[-1].what, told[-1].num_done) == ("measuring", told[-1].num_in_all)
    assert [event.what for event in told].index("warming up") < [event.what for event in told].index(
        "measuring"
    )


def test_a_process_alone_tells_the_imbalance_of_eight_and_reading_bounds_steps_that_take_no_time(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "rehearse", lambda *_: StepCost(1e-9, 1))
    unequal = ("augmentation.scales_pixels=[[160, 128], [96, 64]]", "data.batch_size_per_process=1")
    by_workers = {}
    for num_workers in (0, 1):
        comparison, _ = finish(
            compare_policies(
                small_spec(data_root, *unequal, f"data.num_workers={num_workers}"),
                ["batch"],
                num_processes=None,
                num_repetitions=1,
                with_training=True,
            )
        )
        assert (comparison.num_processes, comparison.num_imbalanced) == (1, 8)
        own, cost = comparison.costs
        assert own.policy.is_own
        assert cost.imbalance > 1
        assert cost.training is not None
        by_workers[num_workers] = cost.training.is_data_bound
    assert by_workers == {0: False, 1: True}


def test_policies_that_come_to_the_same_canvases_are_measured_once(data_root: Path) -> None:
    spec = small_spec(data_root, "augmentation.scales_pixels=[[128, 96]]")
    comparison, _ = finish(
        compare_policies(spec, ["canvases"], num_processes=1, num_repetitions=1, with_training=False)
    )
    assert [cost.policy.name for cost in comparison.costs] == ["fixed", "canvases 3"]
    assert comparison.costs[0].training is None


def raise_it(error: Exception) -> NoReturn:
    raise error


HOST_IS_FULL = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")


@pytest.mark.parametrize(
    ("where", "method", "error"),
    [
        (LargestBatches, "make", HOST_IS_FULL),
        (TrainingLoader, "make", MemoryError("Unable to allocate 9 GiB for an array")),
        (Trainer, "rehearse", torch.OutOfMemoryError("CUDA out of memory")),
    ],
)
def test_what_does_not_fit_into_memory_is_named(
    data_root: Path, monkeypatch: pytest.MonkeyPatch, where: type, method: str, error: Exception
) -> None:
    monkeypatch.setattr(where, method, lambda *_: raise_it(error))
    with_training = where is not TrainingLoader
    with pytest.raises(OutOfMemoryError) as caught:
        finish(
            compare_policies(
                small_spec(data_root),
                ["fixed"],
                num_processes=1,
                num_repetitions=1,
                with_training=with_training,
            )
        )
    assert str(caught.value) == (
        "padding policy fixed: memory ran out with 2 pictures a process on a canvas of 160x128. Try a "
        "smaller data.batch_size_per_process, or smaller pictures (augmentation and padding)."
    )


def test_other_errors_of_a_step_are_not_taken_for_a_lack_of_memory(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Trainer, "rehearse", lambda *_: raise_it(RuntimeError("shapes do not match")))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        finish(
            compare_policies(
                small_spec(data_root), ["fixed"], num_processes=1, num_repetitions=1, with_training=True
            )
        )


def test_rates_of_reading_come_from_the_loader(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of steps would not do: where the next batch is fetched meanwhile, they waited for nothing."""
    seconds = 0.3
    make = TrainingLoader.make

    def make_slowly(loader: TrainingLoader, requests: Sequence[BatchRequest]) -> Iterator[Batch]:
        time.sleep(seconds)
        return make(loader, requests)

    monkeypatch.setattr(TrainingLoader, "make", make_slowly)
    monkeypatch.setattr(measured_policy, "FEWEST_BATCHES", 1)
    comparison, _ = finish(
        compare_policies(
            small_spec(data_root), ["fixed"], num_processes=1, num_repetitions=1, with_training=False
        )
    )
    (cost,) = comparison.costs
    assert 0 < cost.data_rate.median <= 2 / seconds
