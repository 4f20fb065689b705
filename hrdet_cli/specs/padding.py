"""How pictures are padded into batches."""

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from hrdet_cli.specs.base import LongShort, Spec

DEFAULT_NUM_CANVASES = 6


class FixedPaddingSpec(Spec):
    """Every batch on one canvas, turned to the batch's orientation."""

    policy: Literal["fixed"]
    """The padding policy."""
    canvas_pixels: LongShort
    """The canvas (long, short); both multiples of 32 and large enough for every scale."""


class CanvasesPaddingSpec(Spec):
    """A few canvases: one scale for all pictures of a step, and the smallest canvas that holds them.

    With `augmentation.kind=scale-jitter` each picture draws its own scale, and steps are made of pictures
    that then need the same canvas.
    """

    policy: Literal["canvases"]
    """The padding policy."""
    canvases_pixels: Annotated[tuple[LongShort, ...], Field(min_length=1)] | None = None
    """The canvases, each (long, short) and turned for portrait steps; null chooses them for the data set."""
    num_canvases: PositiveInt | None = None
    """How many to choose from the sizes of the training pictures and the scales; null for 6, or where
    canvases_pixels names them."""

    @property
    def num_to_choose(self) -> int:
        """How many canvases to choose where none are named."""
        return DEFAULT_NUM_CANVASES if self.num_canvases is None else self.num_canvases


class BatchPaddingSpec(Spec):
    """Every batch on the smallest canvas that holds its pictures."""

    policy: Literal["batch"] = "batch"
    """The padding policy."""
    divisor_pixels: Annotated[int, Field(gt=0, multiple_of=32)] = 32
    """Height and width are rounded up to a multiple of this."""


PaddingSpec = Annotated[
    FixedPaddingSpec | CanvasesPaddingSpec | BatchPaddingSpec, Field(discriminator="policy")
]
