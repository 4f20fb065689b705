"""Large-scale jitter."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.augmentations import draw_between, draw_flip
from hrdet_cli.engine.data.transforms import OWN_RESIZING, Crop, Placement, Resizing, resize_within
from hrdet_cli.engine.geometry import Scale, Size

_FACTOR_GRID = 39  # of a range of factors; an odd number has its middle


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleJitterAugmentation:
    """Large-scale jitter: resize by a factor out of a wide range, cut to a square, perhaps flip.

    Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation" (CVPR
    2021), section 3, as ``ResizeScale`` and ``FixedSizeCrop`` of detectron2 do it
    (``detectron2/data/transforms/augmentation_impl.py``): a factor of 1 makes a picture just fit the square;
    a larger one is cut at a drawn place, a smaller one is padded. A box stays where any part of it does.

    Otherwise than there, an offset of the window is drawn for each axis, not one for both; and the factor
    times the square's edge is rounded before the picture's shorter edge follows from it.

    Attributes:
        edge: Of the square, in pixels.
        factors: Least and largest factor; drawn uniformly.
        flip_probability: In [0, 1].
        resizing: Conventions of the resize.
    """

    edge: int
    factors: tuple[float, float] = (0.1, 2.0)
    flip_probability: float
    resizing: Resizing = OWN_RESIZING

    @property
    def choices(self) -> tuple[Scale, ...]:
        """See ``Augmentation``."""
        return ()

    def typical_scales(self) -> tuple[Scale, ...]:
        """Scales of evenly spread factors, ends included."""
        return tuple(dict.fromkeys(map(self._scale_of, np.linspace(*self.factors, _FACTOR_GRID).tolist())))

    def draw_scale(self, generator: np.random.Generator) -> Scale:
        """Draw a factor."""
        return self._scale_of(generator.uniform(*self.factors))

    def placed_size(self, size: Size, scale: Scale) -> Size:
        """Size of the window, which is the square where that bounds it and elsewhere the resized picture."""
        resized = resize_within(size, scale, self.resizing.rounding)
        return Size(min(resized.height, self.edge), min(resized.width, self.edge))

    def place(
        self,
        size: Size,
        boxes: NDArray[np.float32],  # noqa: ARG002
        generator: np.random.Generator,
        *,
        scale: Scale | None = None,
    ) -> Placement:
        """Draw scale, window and flip; the boxes do not matter."""
        drawn = scale or self.draw_scale(generator)
        resized = resize_within(size, drawn, self.resizing.rounding)
        window = self.placed_size(size, drawn)
        top = draw_between(0, resized.height - window.height, generator)
        left = draw_between(0, resized.width - window.width, generator)
        return Placement(
            resized=resized,
            crop=Crop(top=top, left=left, size=window, keeps="shown"),
            flipped=draw_flip(self.flip_probability, generator),
            resizing=self.resizing,
        )

    def drawn_sizes(self, sizes: NDArray[np.int32], uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
        """Sizes on the canvas of many pictures, as each would be placed.

        Args:
            sizes: ``(N, 2)`` height and width as annotated.
            uniforms: ``(N,)`` the first number in [0, 1) that the generator of each gives.

        Returns:
            ``(N, 2)`` height and width.
        """
        least, largest = self.factors
        edges = np.maximum(1, np.floor(self.edge * (least + (largest - least) * uniforms) + 0.5))
        added = 0.5 if self.resizing.rounding == "half-up" else 0.0
        resized = np.floor(sizes * (edges / sizes.max(axis=1))[:, None] + added)
        drawn: NDArray[np.int64] = np.clip(resized, 1, self.edge).astype(np.int64)
        return drawn

    def _scale_of(self, factor: float) -> Scale:
        edge = max(1, math.floor(self.edge * factor + 0.5))
        return Scale(edge, edge)
