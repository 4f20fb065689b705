"""What a run has come to: its numbers, and those of each class."""

from collections.abc import Iterator, Sequence

import numpy as np

from hrdet_cli.engine.visualisation.training_curves import EvaluatedEpoch, TrainingHistory
from hrdet_cli.pages.blocks import Block, Cell, Column, Details, Highlight, Table
from hrdet_cli.runs.run_page.story import ClassScores, EvaluationFile, RunStory
from hrdet_cli.wording import counted, format_duration

_MOST_CLASSES = 20
"""More are folded away."""
_NOTHING = "–"
_NUMBERS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100", "AR1000")


def highlights_of(story: RunStory) -> Iterator[Highlight]:
    """The numbers that are seen first."""
    history = story.history
    if history is None:
        return
    is_of_proposals = story.spec is not None and story.spec.best_by == "recall"
    numbers = (("box", "AR1000"),) if is_of_proposals else (("box", "AP"), ("mask", "AP"))
    for kind, evaluated in history.evaluations.items():
        of_average = "" if kind == "raw" else ", average of the weights"
        comparable = [e for e in evaluated if e.step > story.step_before_validation_data]
        for task, name in numbers:
            best = _best(comparable, task, name)
            if best is not None:
                label = f"best {name if is_of_proposals else f'{task} {name}'}{of_average}"
                yield Highlight(label, _number(best.number(task, name)), f"epoch {best.epoch}")
    num_made, num_steps = int(history.steps[-1]), story.num_steps
    whole = f"of {num_steps:,}" if num_steps is not None else ""
    yield Highlight("steps", f"{num_made:,}", whole)
    seconds = np.nansum(history.step_seconds)
    if seconds > 0:
        yield Highlight("time in steps", format_duration(float(seconds)), "evaluations not counted")
    if np.isfinite(history.images_per_second).any():
        speed = np.nanmedian(history.images_per_second)
        yield Highlight("pictures a second", f"{speed:.3g}", "median of the steps")
    if seconds > 0 and np.isfinite(history.data_seconds).any():
        waiting = np.nansum(history.data_seconds) / seconds
        yield Highlight("waiting for data", f"{waiting:.1%}", "of that time")
    if np.isfinite(history.peak_memory_bytes).any():
        memory = np.nanmax(history.peak_memory_bytes) / 2**30
        yield Highlight("most memory", f"{memory:.1f} GiB", "of the first process")


def class_blocks(story: RunStory) -> Iterator[Block]:
    """AP of each class in the last evaluation and in the best one, of each kind of weights."""
    columns = list(_evaluations(story))
    names = dict.fromkeys(name for _, evaluation in columns for name in evaluation.classes)
    if not names:
        return
    has_masks = any(
        scores.mask_ap is not None for _, evaluation in columns for scores in evaluation.classes.values()
    )
    headings = [Column("class"), Column("boxes", "number", "objects to find, crowd regions not counted")]
    for title, _ in columns:
        headings += [
            Column(f"AP, {title}", "number"),
            Column("AP50", "number", f"at an overlap of 0.5, {title}"),
        ]
        headings += [Column("mask AP", "number", title)] if has_masks else []
    rows = [[name, *_class_cells(name, [e for _, e in columns], has_masks=has_masks)] for name in names]
    table = Table("Each class on the validation data", headings, rows, is_sortable=True)
    is_long = len(rows) > _MOST_CLASSES
    yield Details(f"AP of each of the {len(rows):,} classes", [table]) if is_long else table


def evaluation_blocks(history: TrainingHistory) -> Iterator[Block]:
    """A row for each evaluation, folded away: the plots say the same at a glance."""
    rows = [
        (kind, task, evaluated)
        for kind, epochs in history.evaluations.items()
        for evaluated in epochs
        for task in evaluated.numbers
    ]
    if not rows:
        return
    names = [name for name in _NUMBERS if any(e.number(task, name) is not None for _, task, e in rows)]
    has_loss = any(e.loss is not None for _, _, e in rows)
    columns = [Column("epoch", "number"), Column("weights"), Column("of")]
    columns += [Column(name, "number") for name in names] + ([Column("loss", "number")] if has_loss else [])
    cells = [
        [
            f"{e.epoch}",
            "as trained" if kind == "raw" else "average",
            "boxes" if task == "box" else "masks",
            *(_number(e.number(task, name)) for name in names),
            *([_number(e.loss)] if has_loss else []),
        ]
        for kind, task, e in rows
    ]
    summary = f"every evaluation ({counted(len(rows), 'row')})"
    yield Details(summary, [Table("Evaluations", columns, cells, is_sortable=True)])


def _evaluations(story: RunStory) -> Iterator[tuple[str, EvaluationFile]]:
    """Those whose classes are known, with what they are called; one that is both last and best once."""
    for kind, last in story.last.items():
        of_average = "" if kind == "raw" else ", average"
        best = story.best.get(kind)
        is_both = best is not None and best.made_from.epoch == last.made_from.epoch
        yield f"epoch {last.made_from.epoch} (last{' and best' if is_both else ''}){of_average}", last
        if best is not None and not is_both:
            yield f"epoch {best.made_from.epoch} (best){of_average}", best


def _class_cells(
    name: str, evaluations: Sequence[EvaluationFile], *, has_masks: bool
) -> Iterator[str | Cell]:
    of_class = [evaluation.classes.get(name, ClassScores()) for evaluation in evaluations]
    yield f"{of_class[0].num_boxes:,}"
    for scores in of_class:
        yield Cell(_number(scores.ap), bar=scores.ap)
        yield _number(scores.ap50)
        if has_masks:
            yield _number(scores.mask_ap)


def _best(evaluated: Sequence[EvaluatedEpoch], task: str, name: str) -> EvaluatedEpoch | None:
    known = [(value, -e.epoch, e) for e in evaluated if (value := e.number(task, name)) is not None]
    return max(known, key=lambda found: found[:2])[2] if known else None


def _number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.3f}"
