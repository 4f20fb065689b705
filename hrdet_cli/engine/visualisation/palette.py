"""Colours of the pictures: one per class, and the quiet ones of everything around."""

import colorsys

Colour = tuple[int, int, int]

PAPER: Colour = (255, 255, 255)
INK: Colour = (24, 28, 36)
MUTED: Colour = (104, 112, 124)
RULE: Colour = (208, 212, 219)
HATCH_GROUND: Colour = (240, 242, 245)
HATCH_LINE: Colour = (214, 218, 224)

# Chosen by eye to differ from each other on photographs and on white paper.
CHOSEN: tuple[Colour, ...] = (
    (32, 112, 228),  # blue
    (245, 130, 32),  # orange
    (34, 160, 80),  # green
    (214, 40, 57),  # red
    (142, 68, 200),  # purple
    (0, 172, 193),  # cyan
    (232, 82, 160),  # pink
    (214, 170, 0),  # gold
    (128, 84, 56),  # brown
    (132, 190, 36),  # lime
    (44, 52, 140),  # navy
    (0, 110, 100),  # teal
)
_GOLDEN_RATIO = 0.618034  # steps of it around the hue circle never come close to an earlier hue for long
_DEPTHS = ((0.85, 0.62), (0.50, 0.88), (0.95, 0.92), (0.55, 0.50))  # saturation, value


def class_colour(label: int) -> Colour:
    """The colour of class ``label``, the same in every picture."""
    if label < len(CHOSEN):
        return CHOSEN[label]
    extra = label - len(CHOSEN)
    saturation, value = _DEPTHS[extra % len(_DEPTHS)]
    red, green, blue = colorsys.hsv_to_rgb(extra * _GOLDEN_RATIO % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)


def ink_on(ground: Colour) -> Colour:
    """Black or white, whichever is easier to read on ``ground`` (WCAG 2 contrast)."""
    return PAPER if contrast(PAPER, ground) > contrast(INK, ground) else INK


def contrast(one: Colour, other: Colour) -> float:
    """How well one colour is told from another: 1 to 21 (WCAG 2's contrast ratio)."""
    lower, higher = sorted((_luminance(one), _luminance(other)))
    return (higher + 0.05) / (lower + 0.05)


def hex_of(colour: Colour) -> str:
    """A colour as matplotlib and style sheets take it, such as ``#1f77b4``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _luminance(colour: Colour) -> float:
    linear = [(c / 255 / 12.92) if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
