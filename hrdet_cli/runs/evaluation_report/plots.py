"""The plots of a report: precision over recall, and how far scores can be trusted."""

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.analysis.calibration import Calibration
from hrdet_cli.engine.evaluation.coco_metrics import TaskMetrics
from hrdet_cli.engine.visualisation.line_plot import Line, draw_lines
from hrdet_cli.engine.visualisation.palette import INK, MUTED, class_colour
from hrdet_cli.pages.blocks import Plot

_MOST_CLASSES = 8
_PERCENT = 100.0


def plot_overlaps(metrics: TaskMetrics, *, of: str) -> Plot:
    """Precision over recall as the mean of all classes, at three strictnesses of overlap.

    Args:
        metrics: With something to find.
        of: What goes behind the caption.
    """
    thresholds = metrics.iou_thresholds
    has_objects = (metrics.precision > -1).all(axis=(0, 1))
    curves = metrics.precision[..., has_objects].mean(axis=2)
    lines = [
        _curve(f"IoU {thresholds[place]:.2f}", curves[place], metrics, colour=class_colour(number))
        for number, place in enumerate((0, int(np.argmin(np.abs(thresholds - 0.75)))))
    ]
    lines.append(_curve("0.50 to 0.95", curves.mean(axis=0), metrics, colour=INK))
    return Plot(
        draw_lines(lines, x_label="recall, %", y_limit=1.02, as_percent=True),
        f"Mean of the classes{of}: AP by overlap",
        "Precision over recall at overlaps of 0.5, of 0.75 and of 0.5 to 0.95",
    )


def plot_classes(metrics: TaskMetrics, *, of: str) -> Plot:
    """Precision over recall of single classes at an overlap of one half: those with the most objects."""
    names = list(metrics.classes)
    num_objects = [metrics.classes[name].num_objects for name in names]
    present = [label for label in range(len(names)) if num_objects[label]]
    shown = sorted(present, key=lambda label: -num_objects[label])[:_MOST_CLASSES]
    what = "Each class" if len(shown) == len(present) else f"The {len(shown)} classes with the most objects"
    lines = [
        _curve(names[label], metrics.precision[0, :, label], metrics, colour=class_colour(number))
        for number, label in enumerate(shown)
    ]
    return Plot(
        draw_lines(lines, x_label="recall, %", y_limit=1.02, as_percent=True),
        f"{what}{of}: AP at IoU 0.50",
        f"Precision over recall of {', '.join(names[label] for label in shown)}",
    )


def plot_calibration(calibration: Calibration, *, of: str) -> Plot:
    """The share of detections that are right over their scores."""
    bins = [one for one in calibration.bins if one.number]
    even = np.array([0.0, 1.0])
    lines = [
        Line(name="what scores promise", x=even * _PERCENT, y=even, colour=MUTED, is_dotted=True, value=" "),
        Line(
            name="share that is right",
            x=np.array([one.mean_score for one in bins]) * _PERCENT,
            y=np.array([one.share_right for one in bins]),
            colour=class_colour(0),
            look="dots",
            value=" ",
        ),
    ]
    return Plot(
        draw_lines(lines, x_label="score, %", y_limit=1.02, as_percent=True),
        f"Detections{of} that are right, by score",
        "The share of detections that are right over their mean score, in ten steps of the score",
    )


def _curve(
    name: str, curve: NDArray[np.float64], metrics: TaskMetrics, *, colour: tuple[int, int, int]
) -> Line:
    return Line(
        name=name, x=metrics.recalls * _PERCENT, y=curve, colour=colour, value=f"{float(curve.mean()):.3f}"
    )


def has_curves(metrics: TaskMetrics) -> bool:
    """Whether there is anything to find."""
    return bool((metrics.precision > -1).any())
