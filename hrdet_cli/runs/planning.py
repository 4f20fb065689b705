"""Count what a spec will do with its data. Does not import torch."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

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
from hrdet_cli.runs.plan import ClassShowings, GroupRates, PartCounts, Plan, SetCounts
from hrdet_cli.runs.run_notes.figures import RunFigures
from hrdet_cli.runs.run_notes.kinds import Note, find_notes
from hrdet_cli.specs.data import DataSpec
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import LoadedSpec
from hrdet_cli.specs.optimisation import OptimisationSpec

_MOST_PICTURES_LAID_OUT = 4000  # a second's work


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
