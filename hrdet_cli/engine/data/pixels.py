"""Moves the pixels of a picture, or of a tile of it, to where its placement says."""

import torch
import torch.nn.functional as F
from torch import Tensor

from hrdet_cli.engine.data.opencv_resize import resize_like_opencv
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.geometry import Window


def cut_pixels(pixels: Tensor, window: Window) -> Tensor:
    """The part of a picture that a window shows, in memory of its own.

    Args:
        pixels: ``(3, H, W)`` uint8, as decoders give them: rows of RGB triples.
        window: Of the picture.

    Returns:
        ``(3, h, w)`` uint8, likewise in memory.
    """
    rows_of_triples = pixels.permute(1, 2, 0)[window.top : window.bottom, window.left : window.right]
    return rows_of_triples.clone(memory_format=torch.contiguous_format).permute(2, 0, 1)


def move_pixels(pixels: Tensor, placement: Placement) -> Tensor:
    """Resize, crop, flip and turn a picture.

    The resize is bilinear, by default with an antialiasing filter when it shrinks, in integers throughout: a
    float copy of the picture would cost four times the memory traffic. OpenCV's takes fifteen times as long
    as the others.

    Args:
        pixels: ``(3, H, W)`` uint8.
        placement: Where the picture goes.

    Returns:
        ``(3, h, w)`` uint8 of size ``placement.placed``.
    """
    pixel_filter, resized = placement.resizing.pixel_filter, placement.resized
    if pixel_filter == "opencv" and pixels.shape[1:] != (resized.height, resized.width):
        pixels = resize_like_opencv(pixels, resized)
    if placement.flipped:  # before torch's resize, which makes most pictures larger; the result is the same
        pixels = pixels.flip(2)
    if pixels.shape[1:] != (resized.height, resized.width):
        # Decoders give rows of RGB triples. torch resizes those four times as fast if the batch axis has the
        # stride by which it recognises them; an axis put in front of the channels has another.
        rows_of_triples = pixels.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
        pixels = F.interpolate(
            rows_of_triples,
            (resized.height, resized.width),
            mode="bilinear",
            antialias=pixel_filter == "antialias",
        )[0]
    if placement.crop is not None:
        top, left, size = placement.crop.top, placement.crop.left, placement.crop.size
        if placement.flipped:
            left = placement.resized.width - left - size.width
        pixels = pixels[:, top : top + size.height, left : left + size.width]
    return pixels.rot90(placement.quarter_turns, (1, 2)) if placement.quarter_turns else pixels
