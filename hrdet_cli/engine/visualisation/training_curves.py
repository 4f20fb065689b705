"""How a run went: its losses and rate over the steps, its average precision over the epochs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from hrdet_cli.engine.visualisation.palette import INK, MUTED, Colour, class_colour, hex_of
from hrdet_cli.engine.visualisation.plot_text import quieten, render, write
from hrdet_cli.engine.visualisation.smoothing import Values, moving_average, thinned
from hrdet_cli.wording import shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 0.075  # of the list of lines, as a share of the panel's height
_OF_BOXES = (("box", "AP"), ("box", "AP50"), ("box", "AP75"))
_OF_BOTH = (("box", "AP"), ("box", "AP50"), ("mask", "AP"), ("mask", "AP50"))
_DOT_SIZE = 4


@dataclass(frozen=True, slots=True, eq=False)
class TrainingHistory:
    """What a run measured.

    Attributes:
        steps: ``(S,)`` numbers of the steps, rising.
        loss: ``(S,)`` sums of the losses.
        losses: Their parts, each ``(S,)``, by name.
        learning_rates: ``(S,)``.
        gradient_norms: ``(S,)``; these and the following NaN where nobody says.
        images_per_second: ``(S,)``, over all processes.
        step_seconds: ``(S,)``.
        data_seconds: ``(S,)`` of these the first process waited for its batch.
        peak_memory_bytes: ``(S,)`` of the first process.
        evaluations: Of each kind of weights that was evaluated, by name, one after the other.
        num_damaged_lines: How many lines of the record could not be read.
    """

    steps: Values
    loss: Values
    losses: Mapping[str, Values]
    learning_rates: Values
    gradient_norms: Values
    images_per_second: Values
    step_seconds: Values
    data_seconds: Values
    peak_memory_bytes: Values
    evaluations: Mapping[str, Sequence["EvaluatedEpoch"]]
    num_damaged_lines: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedEpoch:
    """An evaluation.

    Attributes:
        epoch: After which it was.
        step: The last of that epoch.
        numbers: COCO's of each task, ``box`` and perhaps ``mask``, by name; None where there is nothing to
            average.
        loss: Sum of the losses on the validation data; None where it was not computed or is not finite.
        losses: Its parts, likewise.
    """

    epoch: int
    step: int
    numbers: Mapping[str, Mapping[str, float | None]]
    loss: float | None = None
    losses: Mapping[str, float | None] = field(default_factory=dict)

    def number(self, task: str, name: str) -> float | None:
        """One of them; None also where the task was not evaluated."""
        return self.numbers.get(task, {}).get(name)


def draw_training_curves(history: TrainingHistory, *, title: str) -> Image.Image:
    """Draw losses above the learning rate, and beside them average precision.

    Losses are thin lines with their moving averages on top, and dots on a line are of the validation data;
    dotted lines are of an average of the weights.

    Args:
        history: At least one step; evaluations may be none.
        title: Such as the run's name.

    Returns:
        An RGB picture of 1400 x 600 pixels.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 6), facecolor="white")
    loss, rate = (figure.add_axes((0.05, *place)) for place in ((0.30, 0.36, 0.60), (0.09, 0.36, 0.14)))
    precision = figure.add_axes((0.615, 0.09, 0.25, 0.81))
    _dress(loss, f"{shortened(title, 40)}: losses")
    _draw_losses(loss, history)
    _dress(rate, "")
    rate.plot(*thinned(history.steps, history.learning_rates), color=hex_of(INK), linewidth=1.5)
    rate.set_ylim(bottom=0)
    rate.set_xlabel("step", color=hex_of(MUTED))
    rate.set_ylabel("rate", color=hex_of(MUTED))
    loss.sharex(rate)
    loss.tick_params(labelbottom=False)
    tasks = {task for evaluated in history.evaluations.values() for e in evaluated for task in e.numbers}
    what = "box and mask AP" if "mask" in tasks else "box AP"
    _dress(precision, f"{what} on the validation data")
    _draw_precision(precision, history.evaluations)
    return render(figure)


def _draw_losses(axes: "Axes", history: TrainingHistory) -> None:
    lines = {"sum": history.loss, **history.losses}
    highest = 0.0
    for number, (name, values) in enumerate(lines.items()):
        colour = INK if name == "sum" else class_colour(number - 1)
        steps, points = thinned(history.steps, values)
        smooth = moving_average(points)
        axes.plot(steps, points, color=hex_of(colour), linewidth=0.6, alpha=0.25)
        axes.plot(steps, smooth, color=hex_of(colour), linewidth=2.0)
        highest = max(highest, float(np.nanpercentile(points, 99)))
        _list_line(axes, number, name, f"{smooth[-1]:.3f}", colour)
    row = len(lines)
    for kind, evaluated in history.evaluations.items():
        known = [(e.step, e.loss) for e in evaluated if e.loss is not None]
        if not known:
            continue
        at_steps, sums = zip(*known, strict=True)
        style = _style(kind)
        axes.plot(at_steps, sums, style, marker="o", markersize=_DOT_SIZE, color=hex_of(INK), linewidth=2)
        highest = max(highest, *sums)
        _list_line(axes, row, _of_weights("validation", kind), f"{sums[-1]:.3f}", INK, style, marker="o")
        row += 1
    axes.set_ylim(0, 1.1 * highest or 1.0)


def _draw_precision(axes: "Axes", evaluations: Mapping[str, Sequence[EvaluatedEpoch]]) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_ylim(0, 1)
    axes.set_xlabel("epoch", color=hex_of(MUTED))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    row = 0
    for kind, evaluated in evaluations.items():
        has_masks = any("mask" in e.numbers for e in evaluated)
        lines = _OF_BOTH if has_masks else _OF_BOXES
        for number, (task, name) in enumerate(lines):
            known = [(e.epoch, value) for e in evaluated if (value := e.number(task, name)) is not None]
            if not known:
                continue
            colour = INK if number == 0 else class_colour(number - 1)
            style = _style(kind)
            epochs, values = zip(*known, strict=True)
            axes.plot(
                epochs, values, style, marker="o", markersize=_DOT_SIZE, color=hex_of(colour), linewidth=2
            )
            label = _of_weights(f"{task} {name}" if has_masks else name, kind)
            _list_line(axes, row, label, f"{values[-1]:.3f}", colour, style)
            row += 1
        for task in ("box", "mask") if has_masks else ("box",):
            aps = [(ap, e.epoch) for e in evaluated if (ap := e.number(task, "AP")) is not None]
            if aps:
                ap, epoch = max(aps, key=lambda pair: pair[0])
                what = f"best {task} AP" if has_masks else "best AP"
                write(axes, 1.08, 0.96 - row * _ROW, f"{what} {ap:.3f},", MUTED)
                write(axes, 1.08, 0.96 - (row + 0.8) * _ROW, f"epoch {epoch}", MUTED)
                row += 2
    if not any(evaluations.values()):
        write(axes, 0.5, 0.5, "not evaluated", MUTED, align="center")


def _style(kind: str) -> str:
    """How lines of a kind of weights are drawn."""
    return "-" if kind == "raw" else ":"


def _of_weights(name: str, kind: str) -> str:
    return name if kind == "raw" else f"{name}, average"


def _list_line(
    axes: "Axes",
    number: int,
    name: str,
    value: str,
    colour: Colour,
    style: str = "-",
    marker: str | None = None,
) -> None:
    """Look, name and last value of a line, to the right of the panel."""
    y = 0.96 - number * _ROW
    axes.plot(
        (1.02, 1.06),
        (y, y),
        style,
        marker=marker,
        markersize=_DOT_SIZE,
        color=hex_of(colour),
        linewidth=2.4,
        transform=axes.transAxes,
        clip_on=False,
    )
    write(axes, 1.08, y, f"{name}  {value}", INK)


def _dress(axes: "Axes", title: str) -> None:
    """Quiet axes: a light grid, no frame, the title flush left."""
    write(axes, 0.0, 1.06, title, INK, bold=True, size=13)
    quieten(axes)
