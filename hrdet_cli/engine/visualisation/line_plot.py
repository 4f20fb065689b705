"""Lines over steps, epochs or whatever else, as a plot for a page.

Written without matplotlib, which takes a second for the plots of a run's page: a run draws them as it ends.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np

from hrdet_cli.engine.visualisation.palette import MUTED, RULE, Colour
from hrdet_cli.engine.visualisation.smoothing import Values, moving_average, thinned
from hrdet_cli.engine.visualisation.svg import Key, Svg
from hrdet_cli.engine.visualisation.theme import css_of
from hrdet_cli.engine.visualisation.ticks import tick_labels, ticks_between

WIDTH, HEIGHT = 475, 238
LEFT, RIGHT, TOP, BOTTOM = 48, 468, 8, 200
"""Where the axes end."""
_LETTERS = 11
_MOST_TICKS = 6
_ROOM_ABOVE = 1.06
_DOT_RADIUS, _MOST_DOTS = 2.6, 60


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


@dataclass(frozen=True, slots=True, eq=False)
class _Stroke:
    """What is drawn of a line: its points, and how."""

    x: Values
    y: Values
    colour: Colour
    width: float
    opacity: float = 1.0
    is_dotted: bool = False
    has_dots: bool = False


@dataclass(frozen=True, slots=True)
class _Axes:
    """The values at the ends of the axes."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def place(self, x: Values, y: Values) -> tuple[Values, Values]:
        """Where values lie; one that lies beyond the axes is at their edge."""
        across = (x - self.x_low) / (self.x_high - self.x_low)
        up = np.clip((y - self.y_low) / (self.y_high - self.y_low), 0, 1)
        return LEFT + (RIGHT - LEFT) * across, BOTTOM - (BOTTOM - TOP) * up


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
        from_zero: Whether the axis of values begins at 0, or below where a value is.
        y_limit: Where it ends; None for a little above all but the highest hundredth of what is noisy.
        as_percent: Whether values are shares.
    """
    strokes = [list(_strokes(line)) for line in lines]
    axes = _axes_of(lines, strokes, from_zero=from_zero, y_limit=y_limit)
    body = "".join(
        [
            *_draw_ticks(axes, as_percent=as_percent),
            f'<path d="M{LEFT} {BOTTOM}H{RIGHT}" stroke="{css_of(MUTED)}" stroke-width=".8"/>',
            *(_draw(axes, stroke) for of_line in strokes for stroke in of_line),
            _write((LEFT + RIGHT) / 2, HEIGHT - 9, x_label, "middle"),
        ]
    )
    keys = tuple(_key(line, of_line[-1], as_percent) for line, of_line in zip(lines, strokes, strict=True))
    return Svg(f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" fill="none">{body}</svg>', keys)


def _strokes(line: Line) -> Iterator[_Stroke]:
    """What is drawn of a line, what says where it ends last."""
    if line.look != "noisy":
        yield _Stroke(line.x, line.y, line.colour, 1.8, 1.0, line.is_dotted, line.look == "dots")
        return
    is_known = np.isfinite(line.y)
    x, points = thinned(line.x[is_known], line.y[is_known])
    yield _Stroke(x, points, line.colour, 0.7, 0.3)
    yield _Stroke(x, moving_average(points), line.colour, 1.8, 1.0, line.is_dotted)


def _axes_of(
    lines: Sequence[Line], strokes: Sequence[Sequence[_Stroke]], *, from_zero: bool, y_limit: float | None
) -> _Axes:
    x = np.concatenate([line.x for line in lines])
    x_low, x_high = float(x.min()), float(x.max())
    known = [of_line[0].y[np.isfinite(of_line[0].y)] for of_line in strokes]
    low = min(float(values.min()) for values in known)
    high = max(
        float(np.percentile(values, 99 if line.look == "noisy" else 100))
        for line, values in zip(lines, known, strict=True)
    )
    low = min(low, 0.0) if from_zero else low
    high = low + _ROOM_ABOVE * (high - low) if y_limit is None else y_limit
    if x_low == x_high:
        x_low, x_high = x_low - 1, x_high + 1
    return _Axes(x_low, x_high, low, high if high > low else low + 1)


def _draw_ticks(axes: _Axes, *, as_percent: bool) -> Iterator[str]:
    """A light grid, with numbers at its ends."""
    grid = f'stroke="{css_of(RULE)}" stroke-width=".6"'
    x_ticks = ticks_between(axes.x_low, axes.x_high, most=_MOST_TICKS, are_whole=True)
    y_ticks = ticks_between(axes.y_low, axes.y_high, most=_MOST_TICKS)
    places, _ = axes.place(np.array(x_ticks), np.zeros(len(x_ticks)))
    for place, label in zip(places.tolist(), tick_labels(x_ticks), strict=True):
        yield f'<path d="M{place:.1f} {TOP}V{BOTTOM}" {grid}/>' + _write(place, BOTTOM + 14, label, "middle")
    _, places = axes.place(np.zeros(len(y_ticks)), np.array(y_ticks))
    for place, label in zip(places.tolist(), tick_labels(y_ticks, as_percent=as_percent), strict=True):
        yield f'<path d="M{LEFT} {place:.1f}H{RIGHT}" {grid}/>' + _write(LEFT - 5, place + 4, label, "end")


def _draw(axes: _Axes, stroke: _Stroke) -> str:
    """A line, broken where a value is not finite, and its dots."""
    is_known = np.isfinite(stroke.y)
    x, y = (values.tolist() for values in axes.place(stroke.x[is_known], stroke.y[is_known]))
    follows = np.insert(is_known[:-1], 0, False)[is_known].tolist()
    path = "".join(f"{'L' if f else 'M'}{a:.1f} {b:.1f}" for f, a, b in zip(follows, x, y, strict=True))
    colour = css_of(stroke.colour)
    dashes = ' stroke-dasharray="2 3"' if stroke.is_dotted else ""
    opacity = f' opacity="{stroke.opacity:g}"' if stroke.opacity < 1 else ""
    drawn = f'<path d="{path}" stroke="{colour}" stroke-width="{stroke.width:g}"{dashes}{opacity}/>'
    if not stroke.has_dots or len(x) > _MOST_DOTS:
        return drawn
    dots = (f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{_DOT_RADIUS}"/>' for a, b in zip(x, y, strict=True))
    return f'{drawn}<g fill="{colour}">{"".join(dots)}</g>'


def _write(x: float, y: float, text: str, anchor: str) -> str:
    style = f'font-size="{_LETTERS}" fill="{css_of(MUTED)}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(text)}</text>'


def _key(line: Line, stroke: _Stroke, as_percent: bool) -> Key:
    last = float(stroke.y[np.isfinite(stroke.y)][-1])
    value = line.value or (f"{last:.1%}" if as_percent else f"{last:.3g}")
    return Key(line.name, line.colour, value, line.is_dotted)
