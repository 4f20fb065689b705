"""Anchors: where they lie, what they learn and how their boxes are coded."""

from collections.abc import Iterator
from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field, NonNegativeFloat, PositiveFloat, PositiveInt

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.base import Fraction, Problem, Spec
from hrdet_cli.specs.heads.boxes import BoxClamp, BoxMeans, BoxStds

MAX_ANCHORS_OF_CELL = 25
"""More could not be numbered, so that random draws know them again on every canvas."""


NUM_LEVELS = 5
"""Of every pyramid."""
FoundScale = Literal["auto", "auto-by-level"]


def _refuse_other_scales(value: object) -> object:
    if value in get_args(FoundScale) or _is_scale(value):
        return value
    if isinstance(value, list | tuple) and len(value) == NUM_LEVELS and all(map(_is_scale, value)):
        return tuple(value)
    raise ValueError(f"is a number above 0, {NUM_LEVELS} of them, or auto or auto-by-level")


def _is_scale(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


AnchorScale = Annotated[
    PositiveFloat | FoundScale | tuple[PositiveFloat, ...], BeforeValidator(_refuse_other_scales)
]
"""A number of strides, one for each level, or what looks for such."""


class AnchorSpec(Spec):
    """What all that learns from anchors has; the base of such sections, whose defaults are the RPN's."""

    anchor_scale: AnchorScale = 8
    """Side of a square anchor in units of its level's stride; of several scales, of the smallest. A list of
    five has one for each level, the finest first. `auto` looks for the one that fits the training boxes best
    at the scales of training, and for as many aspect ratios as `anchor_aspect_ratios` has, before the run
    begins, `auto-by-level` for one of each level; the run's own spec then has the numbers."""
    anchor_scales_per_octave: PositiveInt = 1
    """Anchors of each aspect ratio at a position, each larger than the one before by the same factor, up to
    twice `anchor_scale`, which is the next level's."""
    anchor_aspect_ratios: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] = (0.5, 1.0, 2.0)
    """Height divided by width of the anchors at each position."""
    anchor_offset: Fraction = 0
    """Where in its cell an anchor is centred, in strides: 0 is the top left corner (mmdetection 2 and 3,
    torchvision), 0.5 the middle (2019)."""
    round_anchors: bool = False
    """Round the anchors' corners, as at a cell's origin, to whole pixels (2019, torchvision)."""
    whole_anchor_sides: bool = False
    """Before that, drop what a square anchor's side has beyond whole pixels (torchvision's RetinaNet)."""
    anchor_step: Literal["stride", "canvas"] = "stride"
    """From one cell to the next: the level's stride, or (canvas) the canvas's side divided by the number of
    cells and rounded down, as torchvision has it, which differs where the coarsest level was rounded up."""
    anchor_area: Literal["picture", "padded", "canvas"] = "picture"
    """Cells whose anchors train and propose: those of the picture, or of the whole canvas (torchvision);
    padded: those of the picture rounded up to multiples of 32 pixels train, all propose (mmdetection)."""
    allowed_border_pixels: NonNegativeFloat | None = 0
    """How far an anchor may reach out of the picture and still be trained on; null trains on all of them."""
    border_end: Literal["inside", "outside"] = "inside"
    """Whether an anchor that ends exactly there, on the right or below, is trained on: `inside` (2019), or
    not: `outside` (mmdetection 2 and 3). Without a meaning where all are."""
    positive_iou: Fraction = 0.7
    """An anchor that overlaps a box at least this much is positive."""
    negative_iou: Fraction = 0.3
    """An anchor that overlaps every box less than this is negative."""
    min_positive_iou: Fraction = 0.3
    """A box's best anchors are positive too if they overlap it at least this much."""
    low_quality_target: Literal["claiming", "best"] = "claiming"
    """What such an anchor learns: the box that claims it (mmdetection), or the one it overlaps most
    (torchvision)."""
    box_means: BoxMeans = (0.0, 0.0, 0.0, 0.0)
    """Subtracted from the encoded deltas (x, y, width, height)."""
    box_stds: BoxStds = (1.0, 1.0, 1.0, 1.0)
    """Divisors of the encoded deltas after that."""
    box_clamp: BoxClamp = "both"
    """A decoded side is at most 62.5 times its anchor's, and with `both` at least that fraction of it."""

    @property
    def is_to_be_found(self) -> bool:
        """Whether `anchor_scale` and `anchor_aspect_ratios` are still to be found."""
        return isinstance(self.anchor_scale, str)

    @property
    def num_strides(self) -> float | tuple[float, ...]:
        """`anchor_scale` where it is a number, or one for each level.

        Raises:
            SpecError: It is still to be found.
        """
        if isinstance(self.anchor_scale, str):
            raise SpecError(
                [
                    f"anchor_scale: is {self.anchor_scale}, which only `hrdet train` and what looks at its "
                    "data make numbers of; set it to what the run's spec.yaml has"
                ]
            )
        return self.anchor_scale

    def problems(self) -> Iterator[Problem]:
        """Overlaps that contradict each other, and too many anchors."""
        yield from super().problems()
        num_per_cell = len(self.anchor_aspect_ratios) * self.anchor_scales_per_octave
        if num_per_cell > MAX_ANCHORS_OF_CELL:
            yield (
                "anchor_scales_per_octave",
                f"{self.anchor_scales_per_octave} scales and {len(self.anchor_aspect_ratios)} aspect ratios "
                f"make {num_per_cell} anchors at each position; have {MAX_ANCHORS_OF_CELL} at most",
            )
        if self.negative_iou > self.positive_iou:
            yield (
                "negative_iou",
                f"{self.negative_iou:g} is above positive_iou {self.positive_iou:g}; "
                "an anchor cannot be both",
            )
