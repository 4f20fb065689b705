"""Pictures on which an exported model is compared with its detector: three sizes, both orientations."""

import numpy as np
from torch import Tensor, from_numpy

from hrdet_cli.engine.data.keys import generator_for
from hrdet_cli.engine.data.pixels import move_pixels
from hrdet_cli.engine.data.synthetic_scene import draw_scene
from hrdet_cli.engine.data.transforms import Placement, resize_within
from hrdet_cli.engine.geometry import Scale, Size

DRAWN_SIZES = (Size(256, 320), Size(320, 256), Size(470, 600))
"""The last one's sides are no multiples of 32, nor are those of its canvas multiples of 64: every rounding of
the pyramid's sides takes place."""
_SCALES = (Scale(320, 256), Scale(480, 384), Scale(611, 480))
_NUM_OBJECTS = 12
_NOISE_LEVEL = 25.0  # of 255


def draw_picture(size: Size) -> Tensor:
    """Shapes behind noise, always the same: ``(3, H, W)`` uint8 RGB."""
    generator = generator_for(size.num_pixels)
    scene = draw_scene(
        generator, height=size.height, width=size.width, num_objects=_NUM_OBJECTS, has_crowd=False
    )
    noise = generator.normal(scale=_NOISE_LEVEL, size=scene.pixels.shape)
    pixels = np.clip(scene.pixels + noise, 0, 255).astype(np.uint8)
    return from_numpy(pixels).permute(2, 0, 1).contiguous()


def resize_picture(pixels: Tensor) -> list[Tensor]:
    """A picture at three scales, ``(3, H, W)`` uint8 each."""
    size = Size(pixels.shape[1], pixels.shape[2])
    return [move_pixels(pixels, Placement(resized=resize_within(size, scale))) for scale in _SCALES]
