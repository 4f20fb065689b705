"""What is told of the largest step."""

from types import SimpleNamespace
from typing import cast

import pytest
import torch

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.training.rehearsal import StepCost
from hrdet_cli.runs.plan import LargestStep
from hrdet_cli.runs.preflight import rehearse_largest_step
from hrdet_cli.runs.training_run import TrainingRun
from hrdet_cli.specs.run import RunSpec


class FakeTrainer:
    """Whose first step takes as long as compiling does, or finding algorithms."""

    def __init__(self) -> None:
        self.num_rehearsed = 0

    def rehearse(self, batch: Batch) -> StepCost:
        assert batch.targets.boxes.shape == (2, 16, 4)
        self.num_rehearsed += 1
        return StepCost(seconds=100.0 if self.num_rehearsed == 1 else 3.0, peak_memory_bytes=2**30)


def largest_step(run: RunSpec, *, device: str = "cpu") -> tuple[LargestStep, int]:
    """And how often it was made."""
    trainer = FakeTrainer()
    steps = SimpleNamespace(largest_canvas=Size(64, 96), most_boxes=9, with_masks=False)
    fake = SimpleNamespace(
        trainer=trainer,
        device=torch.device(device),
        spec=SimpleNamespace(run=run, data=SimpleNamespace(num_pictures_per_process=2)),
        plan=SimpleNamespace(class_names=("thing",)),
        data=SimpleNamespace(train=SimpleNamespace(label_maps=None)),
        loader=SimpleNamespace(steps=steps),
    )
    rehearsal = rehearse_largest_step(cast("TrainingRun", fake))
    with pytest.raises(StopIteration) as end:
        next(rehearsal)
    return end.value.value, trainer.num_rehearsed


def test_the_seconds_of_a_step_that_is_compiled_or_on_a_gpu_are_those_of_the_second_one() -> None:
    for run, device in ((RunSpec(compile="step"), "cpu"), (RunSpec(), "cuda")):
        step, num_rehearsed = largest_step(run, device=device)
        assert (step.seconds, step.num_box_rows, num_rehearsed) == (3.0, 16, 2)
    step, num_rehearsed = largest_step(RunSpec())
    assert (step.seconds, num_rehearsed) == (100.0, 1)
