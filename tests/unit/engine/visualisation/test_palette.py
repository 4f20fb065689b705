import itertools

import pytest

from hrdet_cli.engine.visualisation.palette import PAPER, Colour, class_colour, ink_on

COLOURS = [class_colour(label) for label in range(80)]


def luminance(colour: Colour) -> float:
    """Relative luminance as WCAG 2.1 defines it."""
    channels = [c / 255 for c in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(first: Colour, second: Colour) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def distance(first: Colour, second: Colour) -> float:
    """A cheap perceptual distance ("redmean"), 0 to about 765."""
    mean_red = (first[0] + second[0]) / 2
    red, green, blue = (a - b for a, b in zip(first, second, strict=True))
    squared = (2 + mean_red / 256) * red**2 + 4 * green**2 + (2 + (255 - mean_red) / 256) * blue**2
    return float(squared**0.5)


def test_the_first_twelve_classes_are_far_from_each_other() -> None:
    assert min(distance(a, b) for a, b in itertools.combinations(COLOURS[:12], 2)) > 100


def test_eighty_classes_have_eighty_colours() -> None:
    assert len(set(COLOURS)) == 80


@pytest.mark.parametrize("label", range(80))
def test_letters_on_a_class_colour_can_be_read(label: int) -> None:
    assert contrast(COLOURS[label], ink_on(COLOURS[label])) > 4


def test_dark_grounds_get_white_letters_and_light_grounds_dark_ones() -> None:
    assert ink_on((0, 0, 60)) == PAPER
    assert ink_on((250, 240, 120)) != PAPER
