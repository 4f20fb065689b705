"""A rehearsal as a picture: what each process has to do, and what a step is made of."""

from typing import Any

from matplotlib.figure import Figure
from PIL import Image

from hrdet_cli.engine.visualisation.palette import INK, MUTED, class_colour, hex_of
from hrdet_cli.engine.visualisation.plot_text import quieten, render, write

_PARTS = ("computing", "imbalance", "messages", "gradients")
_ABOVE: Any = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "frameon": False, "fontsize": 9}
"""Where a legend hides nothing."""
_WIDTH_INCHES, _HEIGHT_INCHES = 14.0, 5.2


def draw_rehearsal(
    *,
    title: str,
    note: str,
    pixels: list[int],
    boxes: list[int],
    steps: dict[str, dict[str, float | None]],
) -> Image.Image:
    """Draw what processes have to do beside what a step is made of.

    Args:
        title: Above all.
        note: Below it, less loud.
        pixels: Of each process in an epoch, by rank.
        boxes: Likewise.
        steps: Seconds by part, by network; None where a part is not known.

    Returns:
        An RGB picture of 1400x520 pixels.
    """
    figure = Figure(figsize=(_WIDTH_INCHES, _HEIGHT_INCHES), facecolor="white")
    head = figure.add_axes((0.05, 0.84, 0.9, 0.14))
    head.axis("off")
    write(head, 0, 0.7, title, INK, bold=True, size=14)
    write(head, 0, 0.2, note, MUTED, size=10)
    loads = figure.add_axes((0.05, 0.13, 0.4, 0.62))
    quieten(loads)
    for numbers, name, colour in ((pixels, "pixels", 0), (boxes, "boxes", 1)):
        mean = sum(numbers) / len(numbers) or 1.0
        shares = [number / mean for number in numbers]
        loads.plot(shares, ".", markersize=8, color=hex_of(class_colour(colour)), label=name)
    loads.set_title("an epoch of each process, over the mean of all", loc="left", fontsize=10)
    loads.set_xlabel("rank", fontsize=10, color=hex_of(MUTED))
    loads.legend(ncols=2, **_ABOVE)
    bars = figure.add_axes((0.6, 0.13, 0.37, 0.62))
    quieten(bars)
    names = list(steps)
    ends = [0.0] * len(names)
    for number, part in enumerate(_PARTS):
        lengths = [steps[name][part] or 0.0 for name in names]
        bars.barh(names, lengths, left=ends, height=0.5, color=hex_of(class_colour(number + 2)), label=part)
        ends = [end + length for end, length in zip(ends, lengths, strict=True)]
    bars.invert_yaxis()
    bars.set_xlabel("seconds of a step", fontsize=10, color=hex_of(MUTED))
    bars.legend(ncols=len(_PARTS), **_ABOVE)
    return render(figure)
