import subprocess
import sys

import numpy as np
import pytest

from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.visualisation.padding_costs import Bar, PolicyRow, draw_padding_costs
from hrdet_cli.engine.visualisation.palette import class_colour


def row(name: str, share: float, *bars: Bar, is_advised: bool = False) -> PolicyRow:
    return PolicyRow(name, "note", [(Size(64, 128), 1.0)], share, bars, is_advised)


def longest_run(pixels: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int]:
    """First and last column of a colour in a stripe of a picture."""
    found = np.flatnonzero((np.abs(pixels.astype(int) - colour).max(axis=2) < 8).all(axis=0))
    return int(found[0]), int(found[-1])


def test_bars_are_as_long_as_their_numbers_and_each_policy_has_a_row_and_a_colour() -> None:
    rows = [row("a", 0.25, Bar(2.0, "2")), row("b", 1.0, Bar(1.0, "1"))]
    picture = draw_padding_costs(rows, title="title", note="note", headings=["speed"])
    assert picture.size == (1400, 150 + 2 * 135)
    assert picture.mode == "RGB"
    pixels = np.asarray(picture)
    # 115 pixels above the rows, 135 each; bars take 0.46 of a row, and their upper edge is free of letters.
    stripes = [pixels[115 + 135 * number + 40 : 115 + 135 * number + 46] for number in range(2)]
    shares = [longest_run(stripe[:, 460:910], class_colour(number)) for number, stripe in enumerate(stripes)]
    assert np.diff(shares[0])[0] == pytest.approx(np.diff(shares[1])[0] / 4, abs=3)
    speeds = [longest_run(stripe[:, 930:], class_colour(number)) for number, stripe in enumerate(stripes)]
    assert np.diff(speeds[0])[0] == pytest.approx(2 * np.diff(speeds[1])[0], abs=3)


def test_columns_can_be_left_out_and_ends_added() -> None:
    with_ends = Bar(2.0, "2", (1.0, 3.0))
    one = draw_padding_costs([row("a", 0.5, with_ends)], title="t", note="n", headings=["a"])
    two = draw_padding_costs([row("a", 0.5, with_ends, with_ends)], title="t", note="n", headings=["a", "b"])
    assert one.size == two.size == (1400, 285)
    assert one.tobytes() != two.tobytes()


def test_the_policy_to_take_is_marked() -> None:
    plain, marked = (
        np.asarray(
            draw_padding_costs([row("a", 0.5, is_advised=advised)], title="t", note="n", headings=[])
        ).astype(int)
        for advised in (False, True)
    )
    rows, columns = np.nonzero(np.abs(plain - marked).max(axis=2))
    assert len(rows) > 100
    assert columns.max() < 240, "only below the name"


def test_drawing_leaves_the_global_state_of_matplotlib_alone() -> None:
    program = """
import sys
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.visualisation.padding_costs import PolicyRow, draw_padding_costs
row = PolicyRow("a", "b", [(Size(1, 2), 1.0)], 0.5, [], False)
draw_padding_costs([row], title="t", note="n", headings=[])
sys.exit("matplotlib.pyplot" in sys.modules)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
