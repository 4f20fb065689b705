"""How the trainings of a comparison went, in one plot."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hrdet_cli.engine.visualisation.line_plot import Line, draw_lines
from hrdet_cli.engine.visualisation.palette import class_colour
from hrdet_cli.engine.visualisation.training_curves import TrainingHistory
from hrdet_cli.errors import OutputError
from hrdet_cli.pages.blocks import Plot
from hrdet_cli.runs.compare.report import DetectorComparison
from hrdet_cli.runs.metrics_file import read_history
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.wording import shortened

_NAME_LENGTH = 36


def plot_course(comparison: DetectorComparison) -> Iterator[Plot]:
    """AP and losses over the epochs, where runs have a record of them; a colour for each side."""
    precision, loss = list[Line](), list[Line]()
    for number, side in enumerate(comparison.sides):
        for run in side.runs:
            folder = run.results.run
            history = None if folder is None else _history(folder)
            if folder is None or history is None:
                continue
            name = f"{side.letter}: {shortened(run.results.source, _NAME_LENGTH)}"
            precision += _precision_lines(name, history, number)
            loss += _loss_lines(name, history, folder, number)
    if precision:
        svg = draw_lines(precision, x_label="epoch")
        yield Plot(svg, "Box AP on the validation data", "Box AP over the epochs, a line for each training")
    if loss:
        caption = "Loss: the sum of what each head minimises, so that kinds of heads cannot be compared"
        yield Plot(
            draw_lines(loss, x_label="epoch"), caption, "Loss over the epochs, a line for each training"
        )


def _history(folder: RunFolder) -> TrainingHistory | None:
    if not folder.metrics_file.is_file():
        return None
    try:
        return read_history(folder.metrics_file)
    except OutputError:  # the plot does without it
        return None


def _precision_lines(name: str, history: TrainingHistory, number: int) -> Iterator[Line]:
    for kind, evaluated in history.evaluations.items():
        known = [(one.epoch, ap) for one in evaluated if (ap := one.number("box", "AP")) is not None]
        if known:
            epochs, aps = np.array(known, dtype=np.float64).T
            yield Line(
                name=name if kind == "raw" else f"{name}, average of weights",
                x=epochs,
                y=aps,
                colour=class_colour(number),
                look="dots",
                is_dotted=kind != "raw",
                value=f"{aps[-1]:.3f}",
            )


def _loss_lines(name: str, history: TrainingHistory, folder: RunFolder, number: int) -> Iterator[Line]:
    record = folder.read_record()
    steps = None if record is None else _steps_per_epoch(record.launches)
    if steps is not None and np.isfinite(history.loss).any():
        yield Line(
            name=name, x=history.steps / steps, y=history.loss, colour=class_colour(number), look="noisy"
        )


def _steps_per_epoch(launches: Sequence[Any]) -> float | None:
    """Those of the last launch; None where it does not say."""
    steps = launches[-1].get("plan", {}).get("steps_per_epoch") if launches else None
    return float(steps) if isinstance(steps, int) and steps > 0 else None
