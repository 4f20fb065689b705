"""What a training run reports while it goes on; the command line draws these."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hrdet_cli.engine.evaluation.comparison import Task
from hrdet_cli.engine.training.reports import StepReport
from hrdet_cli.runs.best_by import BestBy
from hrdet_cli.runs.plan import LargestStep, Plan

EvaluatedWeights = Literal["raw", "ema"]
"""The weights as the last step left them, or their average."""


@dataclass(frozen=True, slots=True)
class RunStarted:
    """Everything is built; the first step follows.

    Attributes:
        plan: The run in numbers, as `--dry-run` counts them; ``plan.to_json()`` has them as plain types.
        folder: Of the run.
        device: Where this process computes.
        precision: What it computes in.
        num_parameters: Of the detector.
        norm: What kind its norms are of, in words.
        weights: What it starts from, in words.
        parameter_groups: A line for each group of parameters; none where all train alike.
        resumed_at_step: Steps that were made before; 0 for a new run.
        num_steps: Of the whole run.
        largest_step: What it took; None where no step is left to make.
    """

    plan: Plan
    folder: Path
    device: str
    precision: str
    num_parameters: int
    norm: str
    weights: str
    parameter_groups: tuple[str, ...]
    resumed_at_step: int
    num_steps: int
    largest_step: LargestStep | None


@dataclass(frozen=True, slots=True)
class StepForecast:
    """The largest step is tried next, on a CPU, where it takes a while.

    Attributes:
        canvas: ``WIDTHxHEIGHT``.
        num_pictures: On each process.
        peak_memory_bytes: About what each process will use.
        seconds: About what it will take.
    """

    canvas: str
    num_pictures: int
    peak_memory_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RunForecast:
    """How long training will take, by its largest step, without evaluation.

    Attributes:
        epoch_seconds: For an epoch.
        seconds: For all that is left to train.
    """

    epoch_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know.

    Attributes:
        message: In a line.
    """

    message: str


@dataclass(frozen=True, slots=True)
class EvaluationProgress:
    """Pictures evaluated so far, over all processes, or views where there are several of each.

    Attributes:
        num_done: So far.
        num_in_all: How many there are.
        unit: What is counted, in the plural.
        stop_asked: Whether any process was asked to stop; whoever drives the run leaves it there.
    """

    num_done: int
    num_in_all: int
    stop_asked: bool
    unit: str = "pictures"


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation is finished.

    Attributes:
        epoch: After which it was made, counted from 1.
        weights: Those of the last step, or their average.
        numbers: COCO's 12 of boxes, and of masks where there are some, by name, with those of more detections
            where the spec has more than 100; None where there is nothing to average.
        is_best: Whether no evaluation of weights of this kind was better.
        loss: Of the validation pictures, where it was computed and is finite.
    """

    epoch: int
    weights: EvaluatedWeights
    numbers: Mapping[Task, Mapping[str, float | None]]
    is_best: bool
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """A checkpoint is on disk.

    Attributes:
        path: The file.
        is_routine: It replaced the last one, as after every epoch.
    """

    path: Path
    is_routine: bool


@dataclass(frozen=True, slots=True)
class RunStopped:
    """The run was asked to stop; the step in progress was finished and saved.

    Attributes:
        folder: Of the run.
        step: The last one, counted from 1 over the whole run.
    """

    folder: Path
    step: int


@dataclass(frozen=True, slots=True)
class RunFinished:
    """All epochs are done.

    Attributes:
        folder: Of the run.
        best_by: What the best checkpoint was chosen by.
        best: Its number, of each kind of weights that was evaluated.
        seconds: That it took since its first step here.
    """

    folder: Path
    best_by: BestBy
    best: Mapping[EvaluatedWeights, float]
    seconds: float


Event = (
    RunStarted
    | StepForecast
    | RunForecast
    | StepReport
    | Notice
    | EvaluationProgress
    | Evaluated
    | CheckpointSaved
    | RunStopped
    | RunFinished
)
