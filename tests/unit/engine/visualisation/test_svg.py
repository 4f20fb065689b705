"""Plots of matplotlib as drawings for pages."""

import re
from xml.etree import ElementTree

from matplotlib.figure import Figure

from hrdet_cli.engine.visualisation.palette import INK, MUTED, PAPER, class_colour, contrast, hex_of
from hrdet_cli.engine.visualisation.plot_text import quieten, write
from hrdet_cli.engine.visualisation.svg import Key, Svg, render_svg
from hrdet_cli.engine.visualisation.theme import THEME, css_of


def drawn(*names: str) -> Svg:
    figure = Figure(figsize=(4, 3))
    axes = figure.add_subplot()
    quieten(axes)
    for label, name in enumerate(names):
        axes.plot([1, 2, 3], [label, 2, 1], "o-", color=hex_of(class_colour(label)))
        write(axes, 0.5, 0.5, name, MUTED)
    return render_svg(figure, keys=(Key("key", INK),))


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
    root = parsed(drawn("<b>$x$ & co"))
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
