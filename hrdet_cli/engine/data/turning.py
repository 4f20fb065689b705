"""Pictures upside down and on their side."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.augmentations import Augmentation, draw_flip
from hrdet_cli.engine.data.scale_jitter import ScaleJitterAugmentation
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.geometry import Scale, Size


@dataclass(frozen=True, slots=True, kw_only=True)
class TurningAugmentation:
    """Another augmentation whose pictures are also flipped top to bottom, and turned.

    Attributes:
        upright: The other one.
        flip_probability: Of exchanging top and bottom, in [0, 1].
        turn_probability: Of turning by 90, 180 or 270 degrees, each as often; in [0, 1]. A picture that lies
            on its side has the size that `placed_size` tells, the other way.
    """

    upright: Augmentation
    flip_probability: float
    turn_probability: float

    @property
    def choices(self) -> tuple[Scale, ...]:
        """See ``Augmentation``."""
        return self.upright.choices

    def typical_scales(self) -> tuple[Scale, ...]:
        """See ``Augmentation``."""
        return self.upright.typical_scales()

    def draw_scale(self, generator: np.random.Generator) -> Scale:
        """See ``Augmentation``."""
        return self.upright.draw_scale(generator)

    def placed_size(self, size: Size, scale: Scale) -> Size:
        """Size before the picture is turned."""
        return self.upright.placed_size(size, scale)

    def place(
        self,
        size: Size,
        boxes: NDArray[np.float32],
        generator: np.random.Generator,
        *,
        scale: Scale | None = None,
    ) -> Placement:
        """Draw what the other draws, then whether top and bottom are exchanged, then the turn."""
        placement = self.upright.place(size, boxes, generator, scale=scale)
        is_upside_down = draw_flip(self.flip_probability, generator)
        turns = int(generator.integers(1, 4)) if draw_flip(self.turn_probability, generator) else 0
        if is_upside_down:  # a flip from left to right, turned by half
            turns += 2
        return replace(placement, flipped=placement.flipped != is_upside_down, quarter_turns=turns % 4)


def jitter_of(augmentation: Augmentation) -> ScaleJitterAugmentation | None:
    """The large-scale jitter that an augmentation is, turned or not; None of another kind."""
    upright = augmentation.upright if isinstance(augmentation, TurningAugmentation) else augmentation
    return upright if isinstance(upright, ScaleJitterAugmentation) else None
