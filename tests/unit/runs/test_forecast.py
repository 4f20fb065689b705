"""What a large step takes, told from two small ones."""

import pytest

from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.training.rehearsal import StepCost
from hrdet_cli.runs.forecast import Probe, extrapolate, most_pixels, probe_canvases

SMALLER = Probe(100_000, StepCost(seconds=1.0, peak_memory_bytes=1_300_000_000))
LARGER = Probe(300_000, StepCost(seconds=2.0, peak_memory_bytes=1_900_000_000))
"""3,000 bytes a pixel above 1,000,000,000."""


def test_memory_grows_along_the_line_and_time_with_the_pixels() -> None:
    cost = extrapolate(SMALLER, LARGER, 6_000_000)
    assert cost.peak_memory_bytes == 1_000_000_000 + 3000 * 6_000_000
    assert cost.seconds == pytest.approx(40)


def test_what_fits_is_where_the_line_reaches_the_memory_that_is_left() -> None:
    assert most_pixels(SMALLER, LARGER, 19_000_000_000) == 6_000_000
    assert most_pixels(SMALLER, LARGER, 1_900_000_000) == 300_000
    assert most_pixels(SMALLER, LARGER, 1_000_000_000) == 0


def test_probes_of_equal_cost_promise_no_room() -> None:
    assert extrapolate(SMALLER, SMALLER, 10**7).peak_memory_bytes == SMALLER.cost.peak_memory_bytes
    assert most_pixels(SMALLER, SMALLER, 10**12) == 0


@pytest.mark.parametrize("canvas", [Size(1024, 1600), Size(1600, 1024), Size(320, 4096), Size(800, 1344)])
def test_probes_have_the_shape_of_the_canvas_and_edges_that_the_network_takes(canvas: Size) -> None:
    smaller, larger = probe_canvases(canvas)
    assert smaller.num_pixels < larger.num_pixels < canvas.num_pixels / 4
    assert smaller.is_portrait == larger.is_portrait == canvas.is_portrait
    assert all(
        edge % 32 == 0 and edge >= 64 for size in (smaller, larger) for edge in (size.height, size.width)
    )
