"""Differences with their intervals, as a plot for a page: a row for each, and a line where there is none."""

from collections.abc import Sequence
from dataclasses import dataclass

from hrdet_cli.engine.visualisation.palette import INK, MUTED, Colour, hex_of
from hrdet_cli.engine.visualisation.plot_text import quieten
from hrdet_cli.engine.visualisation.svg import Svg, render_svg
from hrdet_cli.wording import shortened

_WIDTH_INCHES, _ROW_INCHES, _ENDS_INCHES = 6.6, 0.26, 0.75
_LETTERS = 11
_NAME_LENGTH = 22
_NAMES_SHARE = 0.27
"""Of the width, for names."""


@dataclass(frozen=True, slots=True)
class IntervalRow:
    """A difference.

    Attributes:
        name: Of what.
        value: The difference.
        low: Lower end of its interval.
        high: Upper end.
        colour: Of its dot and line.
    """

    name: str
    value: float
    low: float
    high: float
    colour: Colour


def draw_intervals(rows: Sequence[IntervalRow], *, x_label: str) -> Svg:
    """Draw rows from top to bottom.

    Args:
        rows: One or more.
        x_label: What the differences are of.
    """
    from matplotlib.figure import Figure

    height = _ENDS_INCHES + _ROW_INCHES * len(rows)
    figure = Figure(figsize=(_WIDTH_INCHES, height))
    margins = {"left": _NAMES_SHARE, "right": 0.985, "bottom": 0.55 / height, "top": 1 - 0.1 / height}
    axes = figure.subplots(gridspec_kw=margins)
    quieten(axes, letters=_LETTERS)
    axes.axvline(0, color=hex_of(MUTED), linewidth=1)
    for place, row in enumerate(rows):
        colour = hex_of(row.colour)
        axes.plot((row.low, row.high), (place, place), color=colour, linewidth=1.8, solid_capstyle="round")
        axes.plot(row.value, place, "o", color=colour, markersize=5)
    names = [shortened(row.name, _NAME_LENGTH) for row in rows]
    axes.set_yticks(range(len(rows)), names, color=hex_of(INK), parse_math=False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(x_label, color=hex_of(MUTED), fontsize=_LETTERS, parse_math=False)
    return render_svg(figure)
