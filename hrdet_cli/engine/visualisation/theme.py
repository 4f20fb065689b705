"""Colours of pages and of the drawings in them, in two themes: light and dark.

Drawings are made in the palette's colours. On a page each of these is a variable of its style, which has
another value where the reader's screen is dark.
"""

from collections.abc import Mapping
from types import MappingProxyType

from hrdet_cli.engine.visualisation.palette import (
    CHOSEN,
    INK,
    MUTED,
    PAPER,
    RULE,
    Colour,
    contrast,
    hex_of,
)

_DARK_PAPER: Colour = (20, 23, 28)
_ACCENT: Colour = (22, 92, 196)
_GOOD: Colour = (18, 116, 56)
_BAD: Colour = (188, 32, 48)
_LEAST_CONTRAST = 4.5
"""Of lines on dark paper: WCAG 2 asks for 3 of graphics, and for 4.5 of the letters that name them."""


def _lightened(colour: Colour) -> Colour:
    """The colour with as much white as it needs to be told from dark paper."""
    for share in range(0, 101, 4):
        red, green, blue = (round(c + (255 - c) * share / 100) for c in colour)
        if contrast((red, green, blue), _DARK_PAPER) >= _LEAST_CONTRAST:
            return red, green, blue
    return PAPER


THEME: Mapping[str, tuple[Colour, Colour]] = MappingProxyType(
    {
        "paper": (PAPER, _DARK_PAPER),
        "ink": (INK, (230, 232, 236)),
        "muted": (MUTED, (156, 164, 176)),
        "rule": (RULE, (56, 62, 72)),
        "accent": (_ACCENT, _lightened(_ACCENT)),
        "good": (_GOOD, _lightened(_GOOD)),
        "bad": (_BAD, _lightened(_BAD)),
        **{f"line-{number}": (colour, _lightened(colour)) for number, colour in enumerate(CHOSEN, start=1)},
    }
)
"""A light and a dark colour for each variable."""

_NAME_BY_COLOUR = {light: name for name, (light, _) in THEME.items()}


def css_of(colour: Colour) -> str:
    """A colour as style sheets take it: the variable of the palette's, or the value of any other."""
    name = _NAME_BY_COLOUR.get(colour)
    return hex_of(colour) if name is None else f"var(--{name})"
