"""Words and axes of plots, which are matplotlib's, unlike the sheets; and plots as pictures."""

import io
from typing import TYPE_CHECKING, Literal

from PIL import Image

from hrdet_cli.engine.visualisation.palette import MUTED, RULE, Colour, hex_of

if TYPE_CHECKING:  # matplotlib takes half a second to import, and a run draws its first plot much later
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def write(
    axes: "Axes",
    x: float,
    y: float,
    text: str,
    colour: Colour,
    *,
    bold: bool = False,
    size: float = 10,
    align: Literal["left", "center", "right"] = "left",
) -> None:
    """Write at a place given in shares of the panel; a dollar sign is only a dollar sign."""
    weight = "bold" if bold else "normal"
    axes.text(
        x,
        y,
        text,
        color=hex_of(colour),
        fontsize=size,
        fontweight=weight,
        family="DejaVu Sans",
        horizontalalignment=align,
        verticalalignment="center",
        parse_math=False,
        transform=axes.transAxes,
    )


def quieten(axes: "Axes", *, letters: float = 10) -> None:
    """A light grid behind what is drawn, small grey letters, and no frame but a line below."""
    axes.grid(color=hex_of(RULE), linewidth=0.6, alpha=0.7)
    axes.tick_params(length=0, colors=hex_of(MUTED), labelsize=letters)
    axes.spines[:].set_visible(False)
    axes.spines.bottom.set(visible=True, color=hex_of(MUTED))
    axes.set_axisbelow(True)


def render(figure: "Figure") -> Image.Image:
    """A figure as an RGB picture, with 100 pixels to an inch."""
    width, height = (round(100 * side) for side in figure.get_size_inches())
    pixels = io.BytesIO()
    figure.savefig(pixels, format="rgba", dpi=100)
    return Image.frombytes("RGBA", (width, height), pixels.getvalue()).convert("RGB")
