import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes

from hrdet_cli.engine.visualisation.gradient_cosine import CosinePanel, draw_gradient_cosine
from hrdet_cli.engine.visualisation.palette import class_colour

LAYERS = ["conv1", *(f"stage1.{number}" for number in range(40)), *(f"stage2.{n}" for n in range(59))]


def panel(**cosines: float) -> CosinePanel:
    return CosinePanel("title", "note", {name: [value] * 100 for name, value in cosines.items()})


def rows_of(picture: np.ndarray, colour: tuple[int, int, int]) -> list[int]:
    """Rows that are mostly of a colour, between the axis and the list of lines."""
    inside = np.abs(picture[:, 90:1135].astype(int) - colour).max(axis=2) < 60
    return np.flatnonzero(inside.mean(axis=1) > 0.4).tolist()


def test_a_line_is_at_its_height_and_a_panel_is_370_pixels() -> None:
    picture = draw_gradient_cosine([panel(good=1.0), panel(good=1.0, bad=0.0)], network="net", layers=LAYERS)
    assert picture.size == (1400, 740)
    assert picture.mode == "RGB"
    pixels = np.asarray(picture)
    # Axes are 250 pixels high from -0.27 to 1.04 and end 60 pixels above the panel's lower edge.
    for_one, for_zero = 250 * 0.04 / 1.31, 250 * 1.04 / 1.31
    assert np.mean(rows_of(pixels[:370], class_colour(0))) == pytest.approx(60 + for_one, abs=2)
    assert np.mean(rows_of(pixels[370:], class_colour(0))) == pytest.approx(60 + for_one, abs=2)
    assert rows_of(pixels[:370], class_colour(1)) == []
    assert np.mean(rows_of(pixels[370:], class_colour(1))) == pytest.approx(60 + for_zero, abs=2)


def test_lines_that_nobody_could_tell_apart_are_listed_together(texts_of_axes: list[str]) -> None:
    draw_gradient_cosine([panel(a=1.0, b=0.25, c=0.9999)], network="net", layers=LAYERS)
    listed = [text for text in texts_of_axes if len(text) == 1 or text.startswith("median")]
    assert listed == ["a", "c", "median 1.00, lowest 1.00", "b", "median 0.25, lowest 0.25"]


def test_a_negative_cosine_has_a_minus_sign(texts_of_axes: list[str]) -> None:
    draw_gradient_cosine([panel(a=-0.5)], network="net", layers=LAYERS)
    assert "median −0.50, lowest −0.50" in texts_of_axes


def test_the_scale_goes_down_to_minus_one_only_where_a_line_does(monkeypatch: pytest.MonkeyPatch) -> None:
    scales = []
    original = Axes.set

    def record(axes: Axes, **options: Any) -> Any:
        scales.append(options["ylim"][0])
        return original(axes, **options)

    monkeypatch.setattr(Axes, "set", record)
    draw_gradient_cosine([panel(a=1.0), panel(a=-0.2)], network="net", layers=LAYERS)
    draw_gradient_cosine([panel(a=1.0), panel(a=-0.3)], network="net", layers=LAYERS)
    assert scales == [-0.27, -0.27, -1.02, -1.02]


def test_parts_are_named_where_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = []
    monkeypatch.setattr(Axes, "set_xticks", lambda _, places, names: ticks.append((places, names)))
    draw_gradient_cosine([panel(a=1.0)], network="net", layers=LAYERS)
    assert ticks == [([20.5, 70.0], ["stage1", "stage2"])]


def test_drawing_leaves_the_global_state_of_matplotlib_alone() -> None:
    program = """
import sys
from hrdet_cli.engine.visualisation.gradient_cosine import CosinePanel, draw_gradient_cosine
draw_gradient_cosine([CosinePanel("a", "b", {"c": [1.0, 0.5]})], network="net", layers=["d.e", "f"])
sys.exit("matplotlib.pyplot" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
