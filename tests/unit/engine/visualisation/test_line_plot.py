"""Lines for pages."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from hrdet_cli.engine.visualisation.line_plot import BOTTOM, LEFT, RIGHT, TOP, Line, draw_lines
from hrdet_cli.engine.visualisation.palette import INK, class_colour
from hrdet_cli.engine.visualisation.svg import Key, Svg
from hrdet_cli.engine.visualisation.ticks import tick_labels, ticks_between

STEPS = np.arange(1.0, 101.0)


def parsed(svg: Svg) -> ElementTree.Element:
    return ElementTree.fromstring(svg.text)  # noqa: S314  # our own


def letters(svg: Svg) -> list[str | None]:
    return [element.text for element in parsed(svg).iter("text")]


def paths(svg: Svg, colour: str) -> list[str]:
    found = (path for path in parsed(svg).iter("path") if path.get("stroke") == colour)
    return [str(path.get("d")) for path in found]


def points(path: str) -> list[tuple[float, ...]]:
    return [tuple(map(float, found)) for found in re.findall(r"([\d.]+) ([\d.]+)", path)]


def test_a_line_is_where_its_values_are() -> None:
    """The axis ends at 2: the first point is half way up, the last one in the corner."""
    line = Line(name="a", x=STEPS, y=np.linspace(1, 0, 100), colour=class_colour(0))
    (path,) = paths(draw_lines([line], x_label="step", y_limit=2.0), "var(--line-1)")
    found = points(path)
    assert len(found) == 100
    assert found[0] == pytest.approx((LEFT, (TOP + BOTTOM) / 2))
    assert found[-1] == pytest.approx((RIGHT, BOTTOM))


def test_a_noisy_line_lies_thin_behind_its_average_and_a_spike_at_the_edge() -> None:
    steps = np.arange(1.0, 301.0)
    line = Line(
        name="a", x=steps, y=np.where(steps == 200, 1000.0, 1.0), colour=class_colour(0), look="noisy"
    )
    raw, smooth = map(points, paths(draw_lines([line], x_label="step"), "var(--line-1)"))
    assert min(y for _, y in raw) == TOP
    assert {round(y) for _, y in raw[:40]} == {round(BOTTOM - (BOTTOM - TOP) / 1.06)}
    assert len(smooth) == len(raw) == 300


def test_a_line_is_broken_where_a_value_is_missing() -> None:
    line = Line(name="a", x=STEPS[:5], y=np.array([1, 2, np.nan, 2, 1.0]), colour=INK, look="dots")
    svg = draw_lines([line], x_label="step")
    (path,) = paths(svg, "var(--ink)")
    assert re.sub("[^ML]", "", path) == "MLML"
    assert len(list(parsed(svg).iter("circle"))) == 4


def test_values_below_zero_are_on_the_axis() -> None:
    line = Line(name="a", x=STEPS, y=-STEPS, colour=INK)
    (path,) = paths(draw_lines([line], x_label="step"), "var(--ink)")
    assert points(path)[-1] == (RIGHT, BOTTOM)


def test_one_point_is_in_the_middle() -> None:
    line = Line(name="a", x=np.array([26.0]), y=np.array([0.0]), colour=INK, look="dots")
    svg = draw_lines([line], x_label="epoch")
    (circle,) = parsed(svg).iter("circle")
    assert float(str(circle.get("cx"))) == (LEFT + RIGHT) / 2
    assert letters(svg)[:3] == ["25", "26", "27"]


def test_names_are_letters_and_no_elements() -> None:
    assert letters(draw_lines([Line(name="n", x=STEPS, y=STEPS, colour=INK)], x_label="<b>$x$ & co"))[-1] == (
        "<b>$x$ & co"
    )


def test_keys_say_where_lines_end() -> None:
    svg = draw_lines(
        [
            Line(name="falls", x=STEPS, y=1 / STEPS, colour=INK),
            Line(name="noisy", x=STEPS, y=np.where(STEPS % 2, 1.0, np.nan), colour=INK, look="noisy"),
            Line(name="told", x=STEPS, y=STEPS, colour=INK, value="x", is_dotted=True),
        ],
        x_label="step",
    )
    assert svg.keys == (
        Key("falls", INK, "0.01"),
        Key("noisy", INK, "1"),
        Key("told", INK, "x", is_dotted=True),
    )
    shares = draw_lines([Line(name="s", x=STEPS, y=STEPS / 100, colour=INK)], x_label="step", as_percent=True)
    assert shares.keys[0].value == "100.0%"


@pytest.mark.parametrize(
    ("low", "high", "are_whole", "ticks", "labels"),
    [
        (0, 3.1, False, [0, 1, 2, 3], ["0", "1", "2", "3"]),
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1.0], ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0, 0.0106, False, [0, 0.005, 0.01], ["0", "0.005", "0.010"]),
        (0, 6, False, [0, 2, 4, 6], ["0", "2", "4", "6"]),
        (4, 8, True, [4, 5, 6, 7, 8], ["4", "5", "6", "7", "8"]),
        (1, 2, True, [1, 2], ["1", "2"]),
        (1, 90_000, True, [20_000, 40_000, 60_000, 80_000], ["20k", "40k", "60k", "80k"]),
        (0, 3e7, True, [0, 1e7, 2e7, 3e7], ["0", "10M", "20M", "30M"]),
        (-3, 3, False, [-2, 0, 2], ["-2", "0", "2"]),
        (5, 5, False, [5], ["5"]),
    ],
)
def test_ticks_are_round_numbers(
    low: float, high: float, are_whole: bool, ticks: list[float], labels: list[str]
) -> None:
    found = ticks_between(low, high, most=6, are_whole=are_whole)
    assert found == pytest.approx(ticks)
    assert tick_labels(found) == labels


def test_shares_are_written_in_percent() -> None:
    assert tick_labels([0, 0.005, 0.01], as_percent=True) == ["0", "0.5%", "1.0%"]
