"""Plots for pages: drawings as text, whose colours and letters are the page's."""

import hashlib
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hrdet_cli.engine.visualisation.palette import Colour, hex_of
from hrdet_cli.engine.visualisation.theme import THEME

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEX = re.compile(r"#[0-9a-f]{6}\b")
_STYLE = re.compile(r'(?<= style=")[^"]*')
_OUTLINE = re.compile(r'(?<= d=")[^"]*')
_DECIMALS = re.compile(r"(\.\d\d)\d+")
_FONT = re.compile(r"font-family: [^;\"]*;? ?")
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r"(?<=url\(#)[^)]*|(?<=href=\"#)[^\"]*")
_VARIABLES = {hex_of(light): f"var(--{name})" for name, (light, _) in THEME.items()}
_NOT_ON_PAGES = re.compile(r"<!--.*?-->|<metadata>.*?</metadata>|<style .*?</style>", re.DOTALL)
_SIZE = re.compile(r' (?:width|height|version|xmlns(?::xlink)?)="[^"]*"')


@dataclass(frozen=True, slots=True)
class Key:
    """What a line or an area of a drawing stands for.

    Attributes:
        name: What it is called.
        colour: Its colour in the drawing.
        value: What is worth a number, such as where a line ends.
        is_dotted: Whether the line is dotted.
    """

    name: str
    colour: Colour
    value: str = ""
    is_dotted: bool = False


@dataclass(frozen=True, slots=True)
class Svg:
    """A drawing.

    Attributes:
        text: An ``<svg>`` element to go into a page of hrdet; it fills the width it is given.
        keys: What is drawn, for a list beside it.
    """

    text: str
    keys: tuple[Key, ...] = ()


def render_svg(figure: "Figure", *, keys: tuple[Key, ...] = ()) -> Svg:
    """A figure of matplotlib as a drawing for pages.

    The palette's colours become variables, which turn with the page; others stay. Letters stay letters, in
    the page's font. Names inside are unlike those of any other drawing.

    Args:
        figure: About 7 inches wide for a plot that has half of a page, with letters of 11 points.
        keys: What is drawn.
    """
    from matplotlib import rc_context

    written = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "hrdet"}):
        figure.savefig(written, format="svg", metadata=nothing, transparent=True)
    text = _NOT_ON_PAGES.sub("", written.getvalue())
    start = text.index("<svg")
    end = text.index(">", start)
    text = _SIZE.sub("", text[start:end]) + text[end:]
    text = _OUTLINE.sub(lambda found: _DECIMALS.sub(r"\1", found[0]), text)
    text = _STYLE.sub(lambda found: _with_variables(_FONT.sub("", found[0])), text)
    return Svg(_with_own_names(text).strip(), keys)


def _with_variables(style: str) -> str:
    return _HEX.sub(lambda found: _VARIABLES.get(found[0], found[0]), style)


def _with_own_names(text: str) -> str:
    """Without ids that nothing refers to, and with others that no other drawing has."""
    used = set(_REFERENCE.findall(text))
    prefix = f"d{hashlib.sha256(text.encode()).hexdigest()[:8]}-"
    text = _ID.sub(lambda found: f' id="{prefix}{found[1]}"' if found[1] in used else "", text)
    return _REFERENCE.sub(lambda found: f"{prefix}{found[0]}", text)
