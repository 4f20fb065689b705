"""Cosine to the exact gradient over the depth of a network: which rule of merging statistics is right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from hrdet_cli.engine.visualisation.palette import INK, MUTED, RULE, Colour, class_colour, hex_of
from hrdet_cli.engine.visualisation.plot_text import render, write

_SAME = 1e-3  # lines that are closer than this everywhere could not be told apart
_SMALLEST_NAMED = 0.03  # part of a network, as a share of its layers; a narrower one has no room for its name
_WIDTH_INCHES, _PANEL_INCHES, _AXES_INCHES, _BELOW_INCHES = 14.0, 3.7, 2.5, 0.6
_ROW = 0.085  # of the list of lines, as a share of the axes' height
_LITTLE_BELOW = -0.25


@dataclass(frozen=True, slots=True)
class CosinePanel:
    """What one panel shows.

    Attributes:
        title: Above it.
        note: Behind the title, less loud.
        cosines_by_name: A value in [-1, 1] for each layer, in order of depth; by the name of the line.
    """

    title: str
    note: str
    cosines_by_name: Mapping[str, Sequence[float]]


def draw_gradient_cosine(
    panels: Sequence[CosinePanel], *, network: str, layers: Sequence[str]
) -> Image.Image:
    """Draw panels below each other, over the same layers.

    Lines that coincide are drawn as one, with all their names.

    Args:
        panels: What to draw.
        network: Name of the network.
        layers: Name of each layer; the first part of it, such as ``stage2`` of ``stage2.0.branches``, says
            to which part of the network it belongs.

    Returns:
        An RGB picture of 1400 x (370 for each panel) pixels.
    """
    height = _PANEL_INCHES * len(panels)
    figure = Figure(figsize=(_WIDTH_INCHES, height), facecolor="white")
    groups_by_panel = [_coinciding(panel.cosines_by_name) for panel in panels]
    leaders = list(dict.fromkeys(group[0] for groups in groups_by_panel for group in groups))
    lowest = min(min(cosines) for panel in panels for cosines in panel.cosines_by_name.values())
    for number, (panel, groups) in enumerate(zip(panels, groups_by_panel, strict=True)):
        bottom = (len(panels) - 1 - number) * _PANEL_INCHES + _BELOW_INCHES
        axes = figure.add_axes((0.06, bottom / height, 0.755, _AXES_INCHES / height))
        _dress(axes, panel, lowest)
        _mark_parts(axes, layers)
        y = 1.0
        for group in groups:
            cosines, colour = panel.cosines_by_name[group[0]], class_colour(leaders.index(group[0]))
            axes.plot(cosines, color=hex_of(colour), linewidth=0.8, alpha=0.45)
            axes.plot(
                cosines, ".", color=hex_of(colour), markersize=5
            )  # layers of parallel branches take turns
            y = _list_line(axes, y, group, cosines, colour)
        if number == len(panels) - 1:
            axes.set_xlabel(f"convolutions of {network}, in order of depth", color=hex_of(MUTED))
    return render(figure)


def _coinciding(cosines_by_name: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """Names of lines in groups that nobody could tell apart."""
    groups: list[list[str]] = []
    for name, cosines in cosines_by_name.items():
        for group in groups:
            pairs = zip(cosines, cosines_by_name[group[0]], strict=True)
            if max(abs(a - b) for a, b in pairs) < _SAME:
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def _dress(axes: Axes, panel: CosinePanel, lowest: float) -> None:
    """Quiet axes: a light grid, no frame, the title flush left; down to -1 only where a line goes there."""
    write(axes, 0.0, 1.14, panel.title, INK, bold=True, size=13)
    write(axes, 1.0, 1.14, panel.note, MUTED, align="right")
    bottom = -0.25 if lowest > _LITTLE_BELOW else -1.0
    axes.set(ylim=(bottom - 0.02, 1.04), yticks=[tick / 4 for tick in range(round(4 * bottom), 5)])
    axes.set_ylabel("cosine to the exact gradient", color=hex_of(MUTED))
    axes.grid(axis="y", color=hex_of(RULE), linewidth=0.6, alpha=0.7)
    axes.axhline(0, color=hex_of(MUTED), linewidth=0.8)
    axes.tick_params(length=0, colors=hex_of(MUTED), labelsize=10)
    axes.spines[:].set_visible(False)
    axes.set_axisbelow(True)


def _mark_parts(axes: Axes, layers: Sequence[str]) -> None:
    """A rule where a part of the network begins, and its name below."""
    axes.set_xlim(-0.5, len(layers) - 0.5)
    start = 0
    ticks = []
    for part, members in groupby(layers, key=lambda layer: layer.partition(".")[0]):
        count = len(list(members))
        if count >= _SMALLEST_NAMED * len(layers):
            ticks.append((start + (count - 1) / 2, part))
            axes.axvline(start - 0.5, color=hex_of(RULE), linewidth=0.8)
        start += count
    axes.set_xticks([place for place, _ in ticks], [part for _, part in ticks])


def _list_line(axes: Axes, y: float, names: Sequence[str], cosines: Sequence[float], colour: Colour) -> float:
    """Colour, names and summary of a line, to the right of the axes; returns where the next one goes."""
    marks = (1.02, 1.035, 1.05)
    axes.plot(
        marks, (y,) * 3, ".-", color=hex_of(colour), markersize=8, transform=axes.transAxes, clip_on=False
    )
    for name in names:
        write(axes, 1.065, y, name, INK, bold=True)
        y -= _ROW
    summary = f"median {median(cosines):.2f}, lowest {min(cosines):.2f}".replace("-", "−")
    write(axes, 1.065, y, summary, MUTED, size=9)
    return y - 1.5 * _ROW
