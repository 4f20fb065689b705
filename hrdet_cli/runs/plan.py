"""What a training run will do, counted before it starts. Does not import torch."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from hrdet_cli.activity import doing
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.padding import SmallestCanvas
from hrdet_cli.engine.data.sampling import showings_by_class
from hrdet_cli.engine.data.step_layout import StepLayout
from hrdet_cli.engine.data.steps import TrainingSteps
from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.engine.weights.names import is_weights_name
from hrdet_cli.runs.anchor_advice import with_fitted_anchors
from hrdet_cli.runs.build.steps import build_steps, with_batch_size
from hrdet_cli.runs.dataset.part import TrainingData
from hrdet_cli.runs.run_notes.figures import RunFigures
from hrdet_cli.runs.run_notes.kinds import Note, find_notes
from hrdet_cli.specs.data import DataSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import LoadedSpec
from hrdet_cli.specs.optimisation import OptimisationSpec

_MOST_PICTURES_LAID_OUT = 4000  # a second's work


@dataclass(frozen=True, slots=True)
class PartCounts:
    """What an annotation file holds.

    Attributes:
        num_used: Pictures that take part.
        dropped_boxes: Boxes that cannot be used, by reason.
        fingerprint: SHA-256 of the annotation file.
    """

    annotations: str
    num_pictures: int
    num_used: int
    num_boxes: int
    num_crowd_regions: int
    dropped_boxes: Mapping[str, int]
    fingerprint: str


@dataclass(frozen=True, slots=True)
class ClassShowings:
    """How often training sees a class.

    Attributes:
        num_pictures: Pictures of it that take part.
        per_epoch: How often an epoch shows a picture of it, on average.
    """

    name: str
    num_pictures: int
    per_epoch: float


@dataclass(frozen=True, slots=True)
class SetCounts:
    """One of several data sets to train on.

    Attributes:
        annotations: What names it.
        num_used: Pictures that take part.
        epoch_share: Share of the pictures of an epoch that are of it, on average.
    """

    annotations: str
    num_used: int
    epoch_share: float


@dataclass(frozen=True, slots=True)
class GroupRates:
    """Parameters that are not trained like the others; one in several groups gets the factors of all.

    Attributes:
        learning_rate: After warm-up, of a parameter that is in this group only.
        weight_decay: Likewise.
        stage_decay: Of the backbone, what multiplies the rate of stage 4 once and that of each stage before
            it once more; 1 for other groups.
    """

    name: str
    learning_rate_factor: float
    learning_rate: float
    weight_decay_factor: float
    weight_decay: float
    stage_decay: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A run in numbers.

    Attributes:
        batch_size: Pictures a step over all processes.
        finds_batch_size: They are still to be found on the GPU, and every number here that depends on them is
            that of one picture on each process.
        num_repeats_per_epoch: Pictures shown twice in an epoch to fill the last batch of each orientation.
        class_showings: How often each class is seen, in the order of the classes.
        weights: The file or name that training starts from; None for random weights.
        has_weights: Whether that file is there, or a name will be fetched.
        learning_rate: The rate after warm-up, before the first drop.
        learning_rate_rule: How it came about, in words.
        warmup_steps: Steps before the rate has its full value.
        parameter_groups: Those with factors other than 1.
        canvases: The canvases batches lie on, ``WIDTHxHEIGHT``, or the rule that gives them.
        useful_pixel_share: Share of the pixels of the first epoch's batches that belong to pictures, not to
            padding; of the first batches, where there are many.
        sources: The layer that set each value that is not a default.
        notes: What can ruin the run, and what to do.
        data_sets: Of several training data sets, each; none of a single one.
    """

    name: str
    class_names: tuple[str, ...]
    train: PartCounts
    val: PartCounts | None
    num_processes: int
    batch_size: int
    finds_batch_size: bool
    steps_per_epoch: int
    num_repeats_per_epoch: int
    num_steps: int
    class_showings: tuple[ClassShowings, ...]
    weights: str | None
    has_weights: bool
    learning_rate: float
    learning_rate_rule: str
    warmup_steps: int
    parameter_groups: tuple[GroupRates, ...]
    canvases: tuple[str, ...]
    useful_pixel_share: float
    sources: Mapping[str, str]
    notes: tuple[Note, ...]
    data_sets: tuple[SetCounts, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class LargestStep:
    """The step of a run that needs most memory, made once before the run and forgotten.

    Attributes:
        canvas: ``WIDTHxHEIGHT``, the largest that a batch can lie on.
        num_pictures: On each process.
        num_box_rows: Of each picture, filled or not: one picture of the data set needs so many.
        peak_memory_bytes: The most memory that a process used: of its GPU, or else resident.
        seconds: Of the slowest process; a first step takes longer than those that follow.
    """

    canvas: str
    num_pictures: int
    num_box_rows: int
    peak_memory_bytes: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return asdict(self)


@doing("planning the steps")
def make_plan(loaded: LoadedSpec, data: TrainingData, *, num_processes: int = 1) -> Plan:
    """Count what a spec will do with its data.

    Raises:
        DataError: No picture is left to train on.
    """
    spec = loaded.spec
    finds_batch_size = spec.data.batch_size_per_process == "auto"
    if finds_batch_size:
        spec = with_batch_size(spec, 1)
    train = data.train.annotations
    spec = with_fitted_anchors(spec, train)
    val = None if data.val is None else data.val.annotations
    weights = spec.model.weights
    steps = build_steps(spec, train, num_processes=num_processes)
    layouts = _first_layouts(steps, num_processes)
    figures = RunFigures(
        spec=spec,
        train=train,
        val=val,
        train_roots=data.train.roots,
        val_root=None if data.val is None else data.val.located.images,
        steps=steps,
        layouts=layouts,
        num_processes=num_processes,
        knows_batch_size=not finds_batch_size,
    )
    batch_size, steps_per_epoch = figures.pictures_a_step, figures.steps_per_epoch
    learning_rate = spec.optimisation.learning_rate_for(batch_size)
    kept = (Note("section-kept", text) for text in loaded.notes)
    return Plan(
        name=spec.name,
        class_names=train.class_names,
        train=_count(train, steps.num_pictures),
        val=None if val is None else _count(val, len(val)),
        num_processes=num_processes,
        batch_size=batch_size,
        finds_batch_size=finds_batch_size,
        steps_per_epoch=steps_per_epoch,
        num_repeats_per_epoch=steps.sampler.num_fillers,
        num_steps=figures.num_steps,
        class_showings=tuple(_count_showings(train, steps)),
        weights=weights,
        has_weights=weights is not None and (is_weights_name(weights) or Path(weights).is_file()),
        learning_rate=learning_rate,
        learning_rate_rule=_learning_rate_rule(spec, batch_size),
        warmup_steps=figures.warmup_steps,
        parameter_groups=tuple(_group_rates(spec.optimisation, learning_rate)),
        canvases=_canvases(steps),
        useful_pixel_share=_useful_pixel_share(layouts),
        sources=dict(loaded.sources),
        notes=(*kept, *find_notes(figures)),
        data_sets=tuple(_count_sets(spec.data, train, steps)),
    )


def _count(annotations: CocoAnnotations, num_used: int) -> PartCounts:
    return PartCounts(
        annotations=annotations.title,
        num_pictures=len(annotations),
        num_used=num_used,
        num_boxes=int(np.count_nonzero(~annotations.is_crowd)),
        num_crowd_regions=int(np.count_nonzero(annotations.is_crowd)),
        dropped_boxes=dict(annotations.dropped_boxes),
        fingerprint=annotations.fingerprint,
    )


def _count_sets(data: DataSpec, train: CocoAnnotations, steps: TrainingSteps) -> Iterator[SetCounts]:
    if train.set_numbers is None:
        return
    of_picture, num_sets = train.set_numbers[steps.indices], len(data.training_sets)
    counts = np.bincount(of_picture, minlength=num_sets)
    shown = np.bincount(of_picture, weights=steps.sampler.expected, minlength=num_sets)
    for number, (count, showings) in enumerate(zip(counts.tolist(), shown.tolist(), strict=True)):
        located = data.locate("train", number)
        split = "" if located.split is None else f" ({located.split})"
        yield SetCounts(f"{located.annotations}{split}", count, showings / shown.sum())


def _count_showings(train: CocoAnnotations, steps: TrainingSteps) -> Iterator[ClassShowings]:
    once = showings_by_class(train, steps.indices, np.ones(steps.num_pictures))
    expected = showings_by_class(train, steps.indices, steps.sampler.expected)
    for name, count, per_epoch in zip(train.class_names, once.tolist(), expected.tolist(), strict=True):
        yield ClassShowings(name, round(count), per_epoch)


def _learning_rate_rule(spec: ExperimentSpec, batch_size: int) -> str:
    optimisation = spec.optimisation
    if optimisation.learning_rate_scaling == "none":
        return "as set (optimisation.learning_rate_scaling is none)"
    base, base_size = f"{optimisation.base_learning_rate:g}", optimisation.base_batch_size
    if optimisation.learning_rate_scaling == "square-root":
        return f"{base} x sqrt({batch_size} / {base_size}) (square-root rule)"
    return f"{base} x {batch_size} / {base_size} (linear rule)"


def _group_rates(optimisation: OptimisationSpec, learning_rate: float) -> Iterator[GroupRates]:
    for name, group in optimisation.parameter_groups:
        if group != type(group)():
            yield GroupRates(
                name=name,
                learning_rate_factor=group.learning_rate_factor,
                learning_rate=learning_rate * group.learning_rate_factor,
                weight_decay_factor=group.weight_decay_factor,
                weight_decay=optimisation.weight_decay * group.weight_decay_factor,
                stage_decay=getattr(group, "stage_decay", 1.0),
            )


def _canvases(steps: TrainingSteps) -> tuple[str, ...]:
    """The canvases of all steps, the largest first; where each batch has its own, the rule."""
    if isinstance(steps.padding, SmallestCanvas):
        return (f"smallest multiple of {steps.padding.divisor} pixels that holds each batch",)
    return tuple(str(canvas) for canvas in steps.canvases)


def _first_layouts(steps: TrainingSteps, num_processes: int) -> list[StepLayout]:
    """The steps' first pictures: all processes' batches have about the same, so one process's will do."""
    num_steps = -(-_MOST_PICTURES_LAID_OUT * num_processes // steps.batch_size)
    return list(islice(steps.layouts(0, World(0, num_processes)), num_steps))


def _useful_pixel_share(layouts: Sequence[StepLayout]) -> float:
    num_useful = sum(layout.num_useful_pixels for layout in layouts)
    return num_useful / sum(layout.num_pixels for layout in layouts)
