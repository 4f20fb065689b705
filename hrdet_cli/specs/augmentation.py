"""How training pictures are changed."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, NonNegativeInt

from hrdet_cli.specs.base import MAX_EDGE_PIXELS, Fraction, LongShort, PositiveEdge, Problem, Spec
from hrdet_cli.specs.extras import ExtrasSpec

_Factor = Annotated[float, Field(gt=0, le=100)]

# Each kind's `size_key` is the setting that makes pictures larger or smaller.


class ResizeSpec(Spec):
    """Keep-ratio resize to a scale drawn for each picture, then a flip."""

    size_key: ClassVar[str] = "augmentation.scales_pixels"
    kind: Literal["resize"] = "resize"
    """The kind of augmentation."""
    scales_pixels: Annotated[tuple[LongShort, ...], Field(min_length=1)]
    """Each (long, short): a picture is made as large as fits, keeping its aspect ratio."""
    scale_mode: Literal["choice", "range"] = "choice"
    """`choice` draws one of the scales; `range` draws both edges uniformly between exactly two of them."""
    flip_probability: Fraction = 0.5
    """Chance of a left-right flip."""
    extras: ExtrasSpec = ExtrasSpec()
    """What else is done to pictures, whatever the kind."""


class ResizeCropSpec(Spec):
    """SimpleDet's resize-and-crop: a drawn scale, then a crop around a random box, then a flip."""

    size_key: ClassVar[str] = "augmentation.scales_pixels"
    kind: Literal["resize-crop"]
    """The kind of augmentation."""
    scales_pixels: Annotated[tuple[LongShort, ...], Field(min_length=1)]
    """Each (long, short): one is drawn and the picture is made as large as fits in it."""
    crop_pixels: LongShort
    """Largest crop (long, short), turned with the picture."""
    jitter_rows_pixels: NonNegativeInt = 10
    """The crop's centre is at most this many rows from the centre of the chosen box."""
    jitter_columns_pixels: NonNegativeInt = 30
    """The crop's centre is at most this many columns from the centre of the chosen box."""
    flip_probability: Fraction = 0.5
    """Chance of a left-right flip."""
    extras: ExtrasSpec = ExtrasSpec()
    """What else is done to pictures, whatever the kind."""


class ScaleJitterSpec(Spec):
    """Large-scale jitter (LSJ): resize by a factor out of a wide range, cut or pad to a square, flip."""

    size_key: ClassVar[str] = "augmentation.edge_pixels"
    kind: Literal["scale-jitter"]
    """The kind of augmentation."""
    edge_pixels: PositiveEdge = 1024
    """Edge of the square: factor 1 makes a picture just fit it, and what a larger factor makes is cut to it
    at a drawn place. With `padding.policy=fixed` it is the canvas."""
    scale_range: tuple[_Factor, _Factor] = (0.1, 2.0)
    """Least and largest factor; one is drawn uniformly for each picture."""
    flip_probability: Fraction = 0.5
    """Chance of a left-right flip."""
    extras: ExtrasSpec = ExtrasSpec()
    """What else is done to pictures, whatever the kind."""

    @property
    def scales_pixels(self) -> tuple[LongShort, ...]:
        """Least and largest scale, and that of factor 1 where it lies between them."""
        least, largest = self.scale_range
        factors = [least, *([1.0] if least < 1 < largest else []), largest]
        edges = [max(1, round(self.edge_pixels * factor)) for factor in factors]
        return tuple((edge, edge) for edge in edges)

    def problems(self) -> Iterator[Problem]:
        """A range that ends before it begins, or beyond what a picture can be."""
        least, largest = self.scale_range
        if least > largest:
            yield "scale_range", f"is (least, largest), so write [{largest:g}, {least:g}]"
        if self.edge_pixels * largest > MAX_EDGE_PIXELS:
            yield (
                "scale_range",
                f"{largest:g} times edge_pixels {self.edge_pixels} is more than {MAX_EDGE_PIXELS} pixels; "
                "lower one of them",
            )


AugmentationSpec = Annotated[ResizeSpec | ResizeCropSpec | ScaleJitterSpec, Field(discriminator="kind")]
