"""What the tests of several sheets look at."""

from typing import Any

import pytest
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
