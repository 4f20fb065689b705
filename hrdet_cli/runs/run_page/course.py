"""How training went, as plots: losses, rate, average precision, speed and memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import numpy as np

from hrdet_cli.engine.visualisation.line_plot import Line, draw_lines
from hrdet_cli.engine.visualisation.palette import INK, Colour, class_colour
from hrdet_cli.engine.visualisation.smoothing import Values
from hrdet_cli.engine.visualisation.training_curves import EvaluatedEpoch, TrainingHistory
from hrdet_cli.pages.blocks import Plot

_SHOWN = ("AP", "AP50", "AP75")
_OF_PROPOSALS = ("AR100", "AR300", "AR1000")
_TASKS: Mapping[str, str] = {"box": "Boxes", "mask": "Masks"}


def plot_losses(history: TrainingHistory) -> Iterator[Plot]:
    """The sum of the losses and its parts, with the sums on the validation data; and these data's parts."""
    sums = {"sum": history.loss, **history.losses}
    lines = [
        Line(name=name, x=history.steps, y=values, colour=_colour(number), look="noisy")
        for number, (name, values) in enumerate(sums.items())
        if np.isfinite(values).any()
    ]
    validation = list(_validation_lines(history))
    if lines or validation:
        both = ", and those on the validation data with dots" if validation else ""
        alt = f"Over {_steps(history)}: {_ends([*lines, *validation])}."
        yield Plot(draw_lines([*lines, *validation], x_label="step"), f"Losses of each step{both}", alt)
    parts = list(_validation_parts(history))
    if parts:
        caption = "Losses on the validation data"
        yield Plot(draw_lines(parts, x_label="epoch"), caption, f"{caption}: {_ends(parts)}.")


def plot_precision(history: TrainingHistory) -> Iterator[Plot]:
    """Average precision over the epochs, of boxes and of masks; of proposals their recall."""
    for task, title in _TASKS.items():
        known = {e.epoch for evaluated in history.evaluations.values() for e in evaluated}
        lines = list(_precision_lines(history.evaluations, task))
        if lines:
            caption = f"{title} of the validation data, by epoch"
            alt = f"{caption}, {len(known)} evaluations: {_ends(lines)}."
            yield Plot(draw_lines(lines, x_label="epoch"), caption, alt)


def plot_optimisation(history: TrainingHistory) -> Iterator[Plot]:
    """Learning rate and norm of the gradient."""
    yield from _plot_steps(history, "Learning rate", history.learning_rates, look="plain")
    yield from _plot_steps(history, "Norm of the gradient before clipping", history.gradient_norms)


def plot_speed(history: TrainingHistory) -> Iterator[Plot]:
    """Pictures a second, the share of time that was waited for data, and memory."""
    yield from _plot_steps(history, "Pictures a second", history.images_per_second)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = history.data_seconds / history.step_seconds
    yield from _plot_steps(history, "Share of a step's time that waits for data", share, as_percent=True)
    yield from _plot_steps(
        history, "Most memory so far, GiB", history.peak_memory_bytes / 2**30, look="plain"
    )


def _plot_steps(
    history: TrainingHistory,
    caption: str,
    values: Values,
    *,
    look: Literal["noisy", "plain"] = "noisy",
    as_percent: bool = False,
) -> Iterator[Plot]:
    """One line over the steps; nothing where no value is known."""
    if not np.isfinite(values).any():
        return
    line = Line(name="last", x=history.steps, y=values, colour=class_colour(0), look=look)
    svg = draw_lines([line], x_label="step", as_percent=as_percent)
    known = values[np.isfinite(values)]
    least, median, most = (
        f"{value:.1%}" if as_percent else f"{value:.3g}"
        for value in (known.min(), np.median(known), known.max())
    )
    yield Plot(svg, caption, f"{caption}, over {_steps(history)}: from {least} to {most}, median {median}.")


def _validation_lines(history: TrainingHistory) -> Iterator[Line]:
    for kind, evaluated in history.evaluations.items():
        known = [(float(e.step), e.loss) for e in evaluated if e.loss is not None]
        if known:
            yield _dots(_of_weights("validation", kind), known, INK, kind)


def _validation_parts(history: TrainingHistory) -> Iterator[Line]:
    for kind, evaluated in history.evaluations.items():
        for number, name in enumerate(dict.fromkeys(name for e in evaluated for name in e.losses), start=1):
            known = [(float(e.epoch), loss) for e in evaluated if (loss := e.losses.get(name)) is not None]
            if known:
                yield _dots(_of_weights(name, kind), known, _colour(number), kind)


def _precision_lines(evaluations: Mapping[str, Sequence[EvaluatedEpoch]], task: str) -> Iterator[Line]:
    for kind, evaluated in evaluations.items():
        names = _SHOWN if any(e.number(task, "AP") is not None for e in evaluated) else _OF_PROPOSALS
        for number, name in enumerate(names):
            known = [
                (float(e.epoch), value) for e in evaluated if (value := e.number(task, name)) is not None
            ]
            if known:
                yield _dots(_of_weights(name, kind), known, _colour(number), kind)


def _dots(name: str, points: Sequence[tuple[float, float]], colour: Colour, kind: str) -> Line:
    x, y = np.array(points).T
    return Line(name=name, x=x, y=y, colour=colour, look="dots", is_dotted=kind != "raw")


def _of_weights(name: str, kind: str) -> str:
    return name if kind == "raw" else f"{name}, average of the weights"


def _colour(number: int) -> Colour:
    return INK if number == 0 else class_colour(number - 1)


def _steps(history: TrainingHistory) -> str:
    return f"steps {history.steps[0]:,.0f} to {history.steps[-1]:,.0f}"


def _ends(lines: Sequence[Line]) -> str:
    """Where each line begins and ends, in words."""
    known = [(line.name, line.y[np.isfinite(line.y)]) for line in lines]
    return ", ".join(f"{name} from {values[0]:.3g} to {values[-1]:.3g}" for name, values in known)
