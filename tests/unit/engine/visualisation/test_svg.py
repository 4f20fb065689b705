"""Drawings for pages."""

import re
from xml.etree import ElementTree

import numpy as np

from hrdet_cli.engine.visualisation.line_plot import Line, draw_lines
from hrdet_cli.engine.visualisation.palette import INK, PAPER, class_colour, contrast, hex_of
from hrdet_cli.engine.visualisation.svg import Key, Svg
from hrdet_cli.engine.visualisation.theme import THEME, css_of

STEPS = np.arange(1.0, 101.0)


def drawn(*names: str) -> Svg:
    lines = [
        Line(name=name, x=STEPS, y=label + 1 / STEPS, colour=class_colour(label), look="dots")
        for label, name in enumerate(names)
    ]
    return draw_lines(lines, x_label=" & ".join(names))


def parsed(svg: Svg) -> ElementTree.Element:
    return ElementTree.fromstring(svg.text.replace("xlink:href", "href"))  # noqa: S314  # our own


def test_the_palettes_colours_are_variables_of_the_page() -> None:
    text = drawn("a", "b").text
    assert {"var(--line-1)", "var(--line-2)", "var(--muted)", "var(--rule)"} <= set(
        re.findall(r"var\([^)]*\)", text)
    )
    assert re.findall(r"#[0-9a-f]{6}\b", text) == []
    assert css_of(INK) == "var(--ink)"
    assert css_of((1, 2, 3)) == "#010203"


def test_lines_and_letters_can_be_read_in_both_themes() -> None:
    (light, dark) = THEME["paper"]
    for name in ("ink", "muted", "accent", "good", "bad"):
        assert contrast(THEME[name][0], light) >= 4.5, name
        assert contrast(THEME[name][1], dark) >= 4.5, name
    for number in range(1, 13):
        assert contrast(THEME[f"line-{number}"][1], dark) >= 4.5, number
    assert light == PAPER
    assert contrast((255, 255, 255), (0, 0, 0)) == 21


def test_letters_are_text_and_names_from_data_are_no_elements() -> None:
    root = parsed(draw_lines([Line(name="n", x=STEPS, y=STEPS, colour=INK)], x_label="<b>$x$ & co"))
    assert "<b>$x$ & co" in [element.text for element in root.iter("text")]
    assert "font-family" not in ElementTree.tostring(root, encoding="unicode")


def test_names_inside_are_those_of_no_other_drawing_and_lead_somewhere() -> None:
    first, second = (drawn(name).text for name in ("a", "b"))
    ids = [set(re.findall(r' id="([^"]*)"', text)) for text in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', first)) == {
        (name, "") if f"url(#{name})" in first else ("", name) for name in ids[0]
    }


def test_a_drawing_is_the_same_each_time() -> None:
    assert drawn("a", "b") == drawn("a", "b")


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


def test_a_line_is_where_its_values_are() -> None:
    """The axis ends at 2: the first point is half way up, the last one in the corner."""
    line = Line(name="a", x=STEPS, y=np.linspace(1, 0, 100), colour=class_colour(0))
    root = parsed(draw_lines([line], x_label="step", y_limit=2.0))
    (path,) = [found for found in root.iter("path") if "var(--line-1)" in str(found.get("style"))]
    points = [tuple(map(float, found)) for found in re.findall(r"([\d.]+) ([\d.]+)", str(path.get("d")))]
    _, _, width, height = map(float, str(root.get("viewBox")).split())
    bottom, top = (1 - 0.155) * height, (1 - 0.965) * height
    assert abs(points[0][1] - (bottom + top) / 2) < 0.1
    assert abs(points[-1][1] - bottom) < 0.1
    assert points[-1][0] > 0.97 * width
    assert hex_of(class_colour(0)) not in str(root)
