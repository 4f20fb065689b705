"""Padding policies side by side: the canvases of each, how much of them is padding, and what they cost."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.visualisation.palette import (
    HATCH_GROUND,
    HATCH_LINE,
    INK,
    MUTED,
    RULE,
    Colour,
    class_colour,
    hex_of,
    ink_on,
)
from hrdet_cli.engine.visualisation.plot_text import render, write

_WIDTH_INCHES, _ROW_INCHES, _ABOVE_INCHES, _BELOW_INCHES = 14.0, 1.35, 1.15, 0.35
_CANVASES_LEFT, _CANVASES_WIDTH = 0.17, 0.13
_BARS_LEFT, _BARS_RIGHT, _GAP = 0.33, 0.985, 0.025
_BAR_HEIGHT = 0.46
_ROOM_FOR_VALUE = 1.45  # of the longest bar


@dataclass(frozen=True, slots=True)
class Bar:
    """A number of one policy.

    Attributes:
        length: The number; bars of a column have a common scale.
        text: The number as it is written.
        ends: The least and the most that was measured; None where nothing varies.
    """

    length: float
    text: str
    ends: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """What a policy's row shows.

    Attributes:
        name: Of the policy.
        note: Below it, less loud.
        canvases: Every canvas and the share of batches that lie on it.
        useful_pixel_share: In (0, 1].
        bars: One for each further column.
        is_advised: This is the one to take.
    """

    name: str
    note: str
    canvases: Sequence[tuple[Size, float]]
    useful_pixel_share: float
    bars: Sequence[Bar]
    is_advised: bool


def draw_padding_costs(
    rows: Sequence[PolicyRow], *, title: str, note: str, headings: Sequence[str]
) -> Image.Image:
    """Draw policies below each other.

    Args:
        rows: What to draw.
        title: Above all.
        note: Below it, less loud.
        headings: Of the columns of `PolicyRow.bars`.

    Returns:
        An RGB picture of 1400 x (150 + 135 for each row) pixels.
    """
    height = _ABOVE_INCHES + _ROW_INCHES * len(rows) + _BELOW_INCHES
    figure = Figure(figsize=(_WIDTH_INCHES, height), facecolor="white")
    page = figure.add_axes((0, 0, 1, 1))
    page.set_axis_off()
    write(page, 0.015, 1 - 0.28 / height, title, INK, bold=True, size=14)
    write(page, 0.015, 1 - 0.58 / height, note, MUTED)
    for number, row in enumerate(rows):
        bottom = height - _ABOVE_INCHES - (number + 1) * _ROW_INCHES
        _name_row(page, row, class_colour(number), (bottom + _ROW_INCHES / 2) / height, height)
        axes = figure.add_axes(
            (_CANVASES_LEFT, (bottom + 0.1) / height, _CANVASES_WIDTH, (_ROW_INCHES - 0.2) / height)
        )
        _draw_canvases(axes, row, rows, class_colour(number))
    width = (_BARS_RIGHT - _BARS_LEFT + _GAP) / (1 + len(headings)) - _GAP
    columns = [
        figure.add_axes(
            (
                _BARS_LEFT + index * (width + _GAP),
                _BELOW_INCHES / height,
                width,
                _ROW_INCHES * len(rows) / height,
            )
        )
        for index in range(1 + len(headings))
    ]
    heading_y = 1 - (_ABOVE_INCHES - 0.12) / height
    write(page, _CANVASES_LEFT, heading_y, "canvases, often used: bold", MUTED, size=9)
    for axes, heading in zip(columns, ("pixels of pictures", *headings), strict=True):
        write(page, axes.get_position().x0, heading_y, heading, MUTED, size=9)
        _dress(axes, len(rows))
    _draw_shares(columns[0], rows)
    for index, axes in enumerate(columns[1:]):
        _draw_bars(axes, [row.bars[index] for row in rows])
    return render(figure)


def _name_row(page: Axes, row: PolicyRow, colour: Colour, y: float, height: float) -> None:
    write(page, 0.015, y + 0.12 / height, row.name, INK, bold=True, size=12)
    write(page, 0.015, y - 0.13 / height, row.note, MUTED, size=9)
    if row.is_advised:
        write(page, 0.015, y - 0.36 / height, "the one to take", colour, bold=True, size=9)


def _draw_canvases(axes: Axes, row: PolicyRow, rows: Sequence[PolicyRow], colour: Colour) -> None:
    """All canvases in one corner, to a scale that all rows share."""
    sizes = [size for each in rows for size, _ in each.canvases]
    axes.set(xlim=(0, max(s.width for s in sizes) * 1.02), ylim=(max(s.height for s in sizes) * 1.02, 0))
    axes.set_aspect("equal", anchor="W")
    axes.set_axis_off()
    most = max(share for _, share in row.canvases)
    for size, share in row.canvases:
        frequency = share / most
        axes.add_patch(
            Rectangle(
                (0, 0),
                size.width,
                size.height,
                facecolor="none",
                edgecolor=hex_of(colour),
                alpha=0.3 + 0.7 * frequency,
                linewidth=0.5 + 2.5 * frequency,
                clip_on=False,
            )
        )


def _dress(axes: Axes, num_rows: int) -> None:
    axes.set(ylim=(num_rows - 0.5, -0.5), yticks=[], xticks=[])
    axes.spines[:].set_visible(False)
    axes.spines["left"].set(visible=True, color=hex_of(RULE))
    axes.patch.set_alpha(0)


def _draw_shares(axes: Axes, rows: Sequence[PolicyRow]) -> None:
    """Pictures in colour, padding hatched as on the sheets."""
    axes.set_xlim(0, 1)
    for number, row in enumerate(rows):
        share = row.useful_pixel_share
        axes.barh(
            number,
            1,
            _BAR_HEIGHT,
            facecolor=hex_of(HATCH_GROUND),
            edgecolor=hex_of(HATCH_LINE),
            hatch="///",
            linewidth=0,
        )
        axes.barh(number, share, _BAR_HEIGHT, color=hex_of(class_colour(number)))
        axes.text(
            share - 0.03,
            number,
            f"{share:.1%}",
            color=hex_of(ink_on(class_colour(number))),
            fontweight="bold",
            horizontalalignment="right",
            verticalalignment="center",
        )


def _draw_bars(axes: Axes, bars: Sequence[Bar]) -> None:
    """Bars from nought; a thin line from the least to the most."""
    longest = max(max(bar.length, *(bar.ends or (0, 0))) for bar in bars)
    axes.set_xlim(0, longest * _ROOM_FOR_VALUE)
    for number, bar in enumerate(bars):
        axes.barh(number, bar.length, _BAR_HEIGHT, color=hex_of(class_colour(number)))
        end = bar.length
        if bar.ends is not None:
            axes.plot(bar.ends, (number, number), color=hex_of(INK), linewidth=1.2)
            axes.plot(bar.ends, (number, number), "|", color=hex_of(INK), markersize=9)
            end = max(end, bar.ends[1])
        axes.text(end + 0.03 * longest, number, bar.text, color=hex_of(INK), va="center", fontsize=11)
