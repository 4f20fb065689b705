"""Precision over recall: how it falls with stricter boxes, and how classes differ."""

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hrdet_cli.engine.visualisation.lettering import font, shorten
from hrdet_cli.engine.visualisation.palette import INK, MUTED, PAPER, RULE, Colour, class_colour, hex_of
from hrdet_cli.engine.visualisation.plot_text import quieten, render, write

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_NAMED = 12  # more coloured lines cannot be told apart
_ROW = 0.058  # of the list of classes, as a share of the panel's height
_NAME_PIXELS = 190

Curves = NDArray[np.float64]


def draw_precision_recall(
    precision: Curves, *, iou_thresholds: Sequence[float], class_names: Sequence[str], overlap_of: str
) -> Image.Image:
    """Draw two panels: the mean of all classes at several overlaps, and each class at an overlap of 0.5.

    Average precision (AP) is the mean of a curve, as COCO defines it.

    Args:
        precision: ``(T, R, K)`` precision at T overlaps and R recalls evenly spread over [0, 1]: pycocotools'
            ``eval["precision"][:, :, :, 0, -1]``.  -1 stands for a class without ground truth.
        iou_thresholds: T overlaps (intersection over union), 0.5 and 0.75 among them.
        class_names: K names.
        overlap_of: What overlaps: boxes or masks.

    Returns:
        An RGB picture of 1400 x 600 pixels.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 6), facecolor="white")
    curves = np.where(precision < 0, np.nan, precision)
    half, three_quarters = (int(np.argmin(np.abs(np.subtract(iou_thresholds, t)))) for t in (0.5, 0.75))
    by_overlap, by_class = (figure.add_axes((left, 0.11, 0.33, 0.70)) for left in (0.05, 0.445))
    _dress(by_overlap, f"Mean of the classes, AP by overlap of {overlap_of}")
    overlaps = [
        ("IoU 0.50", _mean(curves[half], axis=1), class_colour(0)),
        ("IoU 0.75", _mean(curves[three_quarters], axis=1), class_colour(1)),
        (
            f"{min(iou_thresholds):.2f} to {max(iou_thresholds):.2f}",
            _mean(_mean(curves, axis=0), axis=1),
            INK,
        ),
    ]
    for (name, curve, colour), x in zip(overlaps, (0.0, 0.32, 0.64), strict=True):
        _draw_curve(by_overlap, curve, colour, width=2.2)
        write(by_overlap, x, 1.05, f"{name}:  {_average(curve)}", colour, bold=True)
    by_overlap.set_ylabel("precision", color=hex_of(MUTED))
    _dress(by_class, "By class at IoU 0.50")
    _draw_classes(by_class, curves[half], class_names)
    with warnings.catch_warnings():  # a letter the font lacks is drawn as an empty box, which says enough
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        return render(figure)


def _draw_classes(axes: "Axes", curves: Curves, class_names: Sequence[str]) -> None:
    """Lines of all classes; the best and the worst in colour, with their AP in a list beside the panel.

    Args:
        axes: Where.
        curves: ``(R, K)``, NaN for a class without ground truth.
        class_names: K names.
    """
    mean = _mean(curves, axis=1)
    present = np.flatnonzero(~np.isnan(curves).all(axis=0))
    ranked = present[np.argsort(-curves[:, present].mean(axis=0), kind="stable")].tolist()
    half = _MOST_NAMED // 2
    named = ranked if len(ranked) <= _MOST_NAMED else ranked[:half] + ranked[-half:]
    for label in ranked:
        is_named = label in named
        colour = class_colour(label) if is_named else RULE
        _draw_curve(axes, curves[:, label], colour, width=1.3 if is_named else 0.8)
    _draw_curve(axes, mean, INK, width=2.8)
    rows = [("mean of the classes", _average(mean), INK)]
    rows += [(class_names[label], _average(curves[:, label]), class_colour(label)) for label in named]
    if len(named) < len(ranked):
        rows.insert(1 + half, (f"{len(ranked) - len(named)} more between", "", RULE))
    if len(ranked) < len(class_names):
        rows.append((f"{len(class_names) - len(ranked)} without objects", "", PAPER))  # they have no line
    _draw_list(axes, rows)


def _draw_list(axes: "Axes", rows: Sequence[tuple[str, str, Colour]]) -> None:
    """Name, AP and line colour of each row, to the right of the panel; the first row stands out."""
    write(axes, 1.62, 1.05, "AP", MUTED, align="right")
    for number, (name, average, colour) in enumerate(rows):
        y = 0.97 - number * _ROW
        axes.plot(
            (1.05, 1.09), (y, y), color=hex_of(colour), linewidth=2.8, transform=axes.transAxes, clip_on=False
        )
        is_mean = number == 0
        text = shorten(name, font(14, bold=is_mean), _NAME_PIXELS)
        write(axes, 1.11, y, text, INK if average else MUTED, bold=is_mean)
        write(axes, 1.62, y, average, INK, bold=is_mean, align="right")


def _dress(axes: "Axes", title: str) -> None:
    """Quiet axes: a light grid, no frame, the title flush left."""
    write(axes, 0.0, 1.14, title, INK, bold=True, size=13)
    axes.set(xlim=(0, 1), ylim=(0, 1.005), xticks=np.linspace(0, 1, 6), yticks=np.linspace(0.2, 1, 5))
    axes.set_xlabel("recall", color=hex_of(MUTED))
    quieten(axes)


def _draw_curve(axes: "Axes", curve: Curves, colour: Colour, *, width: float) -> None:
    recall = np.linspace(0, 1, len(curve))
    axes.plot(recall, curve, color=hex_of(colour), linewidth=width, solid_joinstyle="round")


def _mean(curves: Curves, *, axis: int) -> Curves:
    """Mean of what is not NaN; NaN where all is."""
    counts = (~np.isnan(curves)).sum(axis=axis)
    means: Curves = np.where(counts > 0, np.nansum(curves, axis=axis) / np.maximum(counts, 1), np.nan)
    return means


def _average(curve: Curves) -> str:
    """AP of a curve as text."""
    return "–" if np.isnan(curve).any() else f"{curve.mean():.3f}"
