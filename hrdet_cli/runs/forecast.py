"""What the largest step will take on a CPU, told from two small ones before it is tried.

A GPU refuses what does not fit; a CPU's machine kills the process.  So a step is made at two small sizes, and
what lies between them is drawn out to the largest: memory and time grow with the pixels.
"""

import math
from dataclasses import dataclass

from hrdet_cli.engine.geometry import CANVAS_DIVISOR_PIXELS, Size
from hrdet_cli.engine.training.rehearsal import StepCost

FEWEST_PIXELS = 2**20
"""Of all pictures of a step together: smaller ones are tried without asking."""
_PROBED_PIXELS = (2**17, 2**18)
_LEAST_EDGE = 2 * CANVAS_DIVISOR_PIXELS


@dataclass(frozen=True, slots=True)
class Probe:
    """A step that was made with one picture.

    Attributes:
        num_pixels: Of its canvas.
        cost: What it took.
    """

    num_pixels: int
    cost: StepCost


def probe_canvases(canvas: Size) -> tuple[Size, Size]:
    """Two small canvases of about a canvas's shape, the smaller one first."""
    smaller, larger = (_shrink(canvas, num_pixels) for num_pixels in _PROBED_PIXELS)
    return smaller, larger


def _shrink(canvas: Size, num_pixels: int) -> Size:
    factor = min(1.0, math.sqrt(num_pixels / canvas.num_pixels))
    height, width = (
        max(_LEAST_EDGE, int(edge * factor) // CANVAS_DIVISOR_PIXELS * CANVAS_DIVISOR_PIXELS)
        for edge in (canvas.height, canvas.width)
    )
    return Size(height, width)


def extrapolate(smaller: Probe, larger: Probe, num_pixels: int) -> StepCost:
    """What a step over so many pixels takes: memory by the line through two, time by the larger of them."""
    pixels = larger.num_pixels - smaller.num_pixels
    rise = larger.cost.peak_memory_bytes - smaller.cost.peak_memory_bytes
    bytes_per_pixel = max(0.0, rise / pixels) if pixels else 0.0
    more = num_pixels - larger.num_pixels
    return StepCost(
        seconds=larger.cost.seconds * num_pixels / larger.num_pixels,
        peak_memory_bytes=int(larger.cost.peak_memory_bytes + bytes_per_pixel * more),
    )


def most_pixels(smaller: Probe, larger: Probe, num_bytes: int) -> int:
    """How many pixels a step may have whose memory is to stay within ``num_bytes``."""
    per_pixel = extrapolate(smaller, larger, larger.num_pixels + 2**20).peak_memory_bytes
    rise = (per_pixel - larger.cost.peak_memory_bytes) / 2**20
    left = num_bytes - larger.cost.peak_memory_bytes
    return larger.num_pixels + int(left / rise) if rise else 0
