"""Lines over steps, epochs or whatever else, as a plot for a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from hrdet_cli.engine.visualisation.palette import MUTED, Colour, hex_of
from hrdet_cli.engine.visualisation.plot_text import quieten
from hrdet_cli.engine.visualisation.smoothing import Values, moving_average, thinned
from hrdet_cli.engine.visualisation.svg import Key, Svg, render_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE_INCHES = (6.6, 3.3)
_MARGINS = {"left": 0.105, "right": 0.985, "bottom": 0.155, "top": 0.965}
_LETTERS = 11
_DOT_SIZE = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """A line of a plot.

    Attributes:
        name: What it is called.
        x: ``(S,)`` places, rising.
        y: ``(S,)`` values; a line is broken where one is not finite.
        colour: Its colour.
        look: Of what was measured at every step, noisy points lie thin behind their moving average; of a few
            values each has a dot.
        is_dotted: Whether the line is dotted, not solid.
        value: What its key says of it; empty for the value where it ends.
    """

    name: str
    x: Values
    y: Values
    colour: Colour
    look: Literal["noisy", "dots", "plain"] = "plain"
    is_dotted: bool = False
    value: str = ""


def draw_lines(
    lines: Sequence[Line],
    *,
    x_label: str,
    from_zero: bool = True,
    y_limit: float | None = None,
    as_percent: bool = False,
) -> Svg:
    """Draw lines over one axis.

    Args:
        lines: One or more, each with a finite value.
        x_label: What goes to the right; whole numbers.
        from_zero: Whether the axis of values begins at 0.
        y_limit: Where it ends; None for a little above all but the highest hundredth of what is drawn.
        as_percent: Whether values are shares.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure = Figure(figsize=_SIZE_INCHES)
    axes = figure.subplots(gridspec_kw=_MARGINS)
    quieten(axes, letters=_LETTERS)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel(x_label, color=hex_of(MUTED), fontsize=_LETTERS, parse_math=False)
    if as_percent:
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    keys, highest = [], 0.0
    for line in lines:
        top, last = _draw(axes, line)
        highest = max(highest, top)
        value = line.value or (f"{last:.1%}" if as_percent else f"{last:.3g}")
        keys.append(Key(line.name, line.colour, value, line.is_dotted))
    axes.set_ylim(0 if from_zero else None, y_limit if y_limit is not None else 1.06 * highest or 1.0)
    axes.margins(x=0.01)
    return render_svg(figure, keys=tuple(keys))


def _draw(axes: "Axes", line: Line) -> tuple[float, float]:
    """Draw a line; returns the value that the axis has to hold, and the one where the line ends."""
    is_known = np.isfinite(line.y)
    colour, style = hex_of(line.colour), ":" if line.is_dotted else "-"
    if line.look != "noisy":
        marker = "o" if line.look == "dots" else None
        axes.plot(line.x, line.y, style, marker=marker, markersize=_DOT_SIZE, color=colour, linewidth=1.8)
        known = line.y[is_known]
        return float(known.max()), float(known[-1])
    x, points = thinned(line.x[is_known], line.y[is_known])
    axes.plot(x, points, color=colour, linewidth=0.6, alpha=0.3)
    smooth = moving_average(points)
    axes.plot(x, smooth, style, color=colour, linewidth=1.8)
    return float(np.percentile(points, 99)), float(smooth[-1])
