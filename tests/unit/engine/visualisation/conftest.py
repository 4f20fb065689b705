"""What the tests of several sheets look at."""

import itertools
from typing import Any

import pytest
from matplotlib.axes import Axes
from PIL import ImageDraw


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is drawn on something higher than the one row used to measure."""
    texts: list[str] = []
    original = ImageDraw.ImageDraw.text

    def record(draw: ImageDraw.ImageDraw, xy: Any, text: str, *args: Any, **options: Any) -> None:
        if draw.im.size[1] > 1:
            texts.append(text)
        original(draw, xy, text, *args, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    return texts


@pytest.fixture
def texts_of_axes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is put into a plot at a place in its coordinates."""
    texts: list[str] = []
    original = Axes.text

    def record(axes: Axes, x: float, y: float, text: str, *args: Any, **options: Any) -> Any:
        texts.append(text)
        return original(axes, x, y, text, *args, **options)

    monkeypatch.setattr(Axes, "text", record)
    return texts


@pytest.fixture
def text_places(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, float, float]]:
    """Row, left and right edge of every text that is drawn on a whole sheet with its left end on a line."""
    places: list[tuple[int, float, float]] = []
    original = ImageDraw.ImageDraw.text

    def record(
        draw: ImageDraw.ImageDraw,
        xy: Any,
        text: str,
        fill: Any = None,
        font: Any = None,
        *more: Any,
        **options: Any,
    ) -> None:
        if draw.im.size[1] > 1 and more == ("ls",):
            places.append((round(xy[1]), xy[0], xy[0] + font.getlength(text)))
        original(draw, xy, text, fill, font, *more, **options)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", record)
    return places


def assert_apart(places: list[tuple[int, float, float]], *, width: int) -> None:
    """No text reaches into another on its line, or out of the sheet."""
    assert places
    for (row, _, right), (next_row, next_left, _) in itertools.pairwise(sorted(places)):
        assert right <= width
        assert row != next_row or right <= next_left + 0.5
