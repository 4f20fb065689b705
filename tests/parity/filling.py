"""Weights, pictures and ground truth made by arithmetic, the same wherever they are made.

Needs numpy alone, so that the environments of two detectors that exclude each other can both import it; there
is no file to carry. Weights come from their names in the state dict of the code that is compared with, so a
conversion of names that mixes two tensors up shows in every number.
"""

import re
import zlib
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

NUM_CLASSES = 80
NUM_SEMANTIC_CLASSES = 183
UNLABELLED = 255
"""What a semantic map has where nobody said what is there."""

_GAINS = (
    # Ends of residual branches, and what HRNet's branches give one another: sums that must not grow.
    (r"layer3\.([6-9]|\d\d)\.bn3\.weight$", 0.05),
    (r"layer\d\.\d+\.bn3\.weight$", 0.3),
    (r"branches\.\d\.\d+\.bn2\.weight$", 0.15),
    (r"fuse_layers\..*\.\d\.weight$", 0.15),
    (r"(lateral_convs|reduction_conv|inner_blocks|conv_res)\..*weight$", 0.4),
    (r"(fpn_convs|layer_blocks)\..*weight$", 0.5),
    # Outputs, so that scores differ, boxes move, and dozens of detections pass the threshold.
    (r"(rpn_cls|cls_logits)\.weight$", 0.3),
    (r"(rpn_reg|rpn\.head\.bbox_pred)\.weight$", 0.2),
    (r"bbox_head\.\d\.fc_cls\.weight$", 2.0),  # a cascade's stages are averaged
    (r"box_head\.5\.weight$", 4.0),  # behind four norms
    (r"(fc_cls|cls_score)\.weight$", 0.5),
    (r"(fc_reg|box_predictor\.bbox_pred)\.weight$", 0.5),
    (r"(retina_cls|conv_cls)\.weight$", 0.4),
    (r"(retina_reg|conv_reg)\.weight$", 0.2),
)

_OFFSETS = (
    # Of every class at every place few pass the threshold, as after training.
    (r"(retina_cls|conv_cls)\.bias$", -3.5),
    # The logarithm of a distance to a box's edge, in pixels.
    (r"conv_reg\.bias$", 3.0),
)


def fill(shapes: Mapping[str, Sequence[int]], *, pixel_std: float = 1.0) -> dict[str, NDArray[np.float32]]:
    """A value for every tensor of a state dict: a function of its name and its shape.

    Convolutions and fully connected layers are normal with variance 2 / fan-in, scales of norms lie near 1,
    both times a gain; variances are in 0.5 .. 1.5, and no bias or mean is zero.

    Args:
        shapes: By name.
        pixel_std: Of the pixels that the first convolution sees; its weights are divided by it.
    """
    filled = {name: _fill_one(name, tuple(shape)) for name, shape in shapes.items()}
    if pixel_std != 1:
        filled["backbone.conv1.weight"] /= np.float32(pixel_std)
    return filled


def _fill_one(name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    # numpy has promised not to change what this generator gives.
    random = np.random.RandomState(zlib.crc32(name.encode()))
    gain = next((gain for pattern, gain in _GAINS if re.search(pattern, name)), 1.0)
    if name.endswith("num_batches_tracked"):
        values = np.zeros(shape)
    elif name.endswith("running_var"):
        values = random.uniform(0.5, 1.5, shape)
    elif name.endswith(("running_mean", "bias")):
        offset = next((offset for pattern, offset in _OFFSETS if re.search(pattern, name)), 0.0)
        values = offset + 0.1 * random.standard_normal(shape)
    elif len(shape) <= 1:
        values = gain * (1 + 0.1 * random.standard_normal(shape))
    else:
        values = gain * np.sqrt(2 / np.prod(shape[1:])) * random.standard_normal(shape)
    return np.asarray(values, dtype=np.float32)


def make_picture(height: int, width: int, *, number: int) -> NDArray[np.uint8]:
    """``(3, height, width)`` RGB: waves in three directions, in whole numbers only."""
    y, x = np.mgrid[:height, :width]
    colours = [
        _wave(3 * x + y + 11 * number, 41 + 7 * colour)
        + _wave(2 * y - x + 5 * width, 97 + 13 * colour + number)
        + _wave(x * y // 64 + 29 * colour, 53)
        for colour in range(3)
    ]
    return (np.stack(colours) // 3).astype(np.uint8)


def _wave(position: NDArray[np.int64], half_period: int) -> NDArray[np.int64]:
    """A triangle between 0 and 255."""
    return np.abs(position % (2 * half_period) - half_period) * 255 // half_period


def make_targets(height: int, width: int, *, number: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Boxes ``(G, 4)`` inside the picture, in quarters of a pixel, and their labels ``(G,)``."""
    boxes = []
    for box in range(3 + number):
        box_width, box_height = width * (box + 2) // (box + 6), height * (box + 3) // (2 * box + 7)
        left = (37 * box + 13 * number) % max(1, width - box_width)
        top = (53 * box + 7 * number) % max(1, height - box_height)
        boxes.append([left + 0.25, top + 0.5, left + box_width - 0.25, top + box_height - 0.75])
    labels = [(17 * box + 5 * number) % NUM_CLASSES for box in range(len(boxes))]
    return np.array(boxes, dtype=np.float32), np.array(labels, dtype=np.int64)


def move_boxes(
    boxes: NDArray[np.float32], height: int, width: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Four regions near each box ``(G, 4)``, clipped to the picture: ``(4 G, 4)``, and the box of each."""
    random = np.random.RandomState(7)
    owners = np.repeat(np.arange(len(boxes)), 4)
    sides = boxes[owners, 2:] - boxes[owners, :2]
    moved = boxes[owners] + random.uniform(-0.12, 0.12, (len(owners), 4)) * np.tile(sides, 2)
    return moved.clip(0, [width, height, width, height]).astype(np.float32), owners


def make_polygons(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(G, P, 2)``: in each box ``(G, 4)`` a shape with two dents that touches its four sides."""
    unit = np.array([(0, 3), (1, 1), (3, 0), (5, 3), (8, 1), (7, 4), (8, 7), (4, 6), (2, 8)]) / 8
    polygons = []
    for number, (left, top, right, bottom) in enumerate(boxes):
        x, y = unit[:, number % 2], unit[:, 1 - number % 2]
        polygons.append(np.stack((left + x * (right - left), top + y * (bottom - top)), axis=-1))
    return np.array(polygons, dtype=np.float32)


def make_semantic_map(height: int, width: int, *, number: int) -> NDArray[np.int64]:
    """``(height, width)`` classes of the pixels, oblique tiles of them, some ``UNLABELLED``."""
    y, x = np.mgrid[:height, :width]
    tiles = (x // 13 + 5 * (y // 11) + (x + y) // 37 + 7 * number) * 29 % (NUM_SEMANTIC_CLASSES + 10)
    return np.where(tiles < NUM_SEMANTIC_CLASSES, tiles, UNLABELLED)
