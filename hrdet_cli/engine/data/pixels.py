"""Moves the pixels of a picture, or of a tile of it, to where its placement says."""

import torch
from torch import Tensor

from hrdet_cli.engine.data.opencv_resize import resize_like_opencv
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.geometry import Size, Window


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


def move_pixels(pixels: Tensor, placement: Placement, room: Tensor | None = None) -> Tensor:
    """Resize, crop, flip and turn a picture.

    The resize is bilinear, by default with an antialiasing filter when it shrinks, in integers throughout: a
    float copy of the picture would cost four times the memory traffic. OpenCV's takes fifteen times as long
    as the others.

    Args:
        pixels: ``(3, H, W)`` uint8.
        placement: Where the picture goes.
        room: ``(B,)`` uint8 memory that the picture may be in then; see `settle_pixels`.

    Returns:
        ``(3, h, w)`` uint8 of size ``placement.placed``; perhaps a view of ``pixels``.
    """
    pixel_filter, resized = placement.resizing.pixel_filter, placement.resized
    if pixel_filter == "opencv" and pixels.shape[1:] != (resized.height, resized.width):
        pixels = resize_like_opencv(pixels, resized)
    if placement.flipped:  # before torch's resize, which makes most pictures larger; the result is the same
        pixels = pixels.flip(2)
    if pixels.shape[1:] != (resized.height, resized.width):
        is_last = placement.crop is None and not placement.quarter_turns
        pixels = _resize(pixels, _picture_in(room if is_last else None, resized), placement)
    if placement.crop is not None:
        top, left, size = placement.crop.top, placement.crop.left, placement.crop.size
        if placement.flipped:
            left = placement.resized.width - left - size.width
        pixels = pixels[:, top : top + size.height, left : left + size.width]
    return pixels.rot90(placement.quarter_turns, (1, 2)) if placement.quarter_turns else pixels


def settle_pixels(pixels: Tensor, room: Tensor) -> Tensor:
    """A picture ``(3, h, w)`` at the beginning of a room ``(B,)``; copied unless it is there already."""
    _, height, width = pixels.shape
    settled = _picture_in(room, Size(height, width))
    return settled if settled.data_ptr() == pixels.data_ptr() else settled.copy_(pixels)


def _resize(pixels: Tensor, result: Tensor, placement: Placement) -> Tensor:
    """Write a picture in another size; torch's public functions would take new memory for it."""
    antialiases = placement.resizing.pixel_filter == "antialias"
    operator = torch.ops.aten._upsample_bilinear2d_aa if antialiases else torch.ops.aten.upsample_bilinear2d
    triples = _batch_of(pixels).contiguous(memory_format=torch.channels_last)  # as the result is
    operator.out(triples, result.shape[1:], align_corners=False, out=_batch_of(result))
    return result


def _batch_of(pixels: Tensor) -> Tensor:
    """A picture ``(3, H, W)`` with a batch axis.

    Decoders give rows of RGB triples. torch resizes those four times as fast if the batch axis has the stride
    by which it recognises them; an axis put in front of the channels has another.
    """
    return pixels.permute(1, 2, 0)[None].permute(0, 3, 1, 2)


def _picture_in(room: Tensor | None, size: Size) -> Tensor:
    """``(3, h, w)`` uint8, rows of RGB triples in a room or in new memory; what is in them is anything."""
    shape = (size.height, size.width, 3)
    triples = (
        torch.empty(shape, dtype=torch.uint8) if room is None else room[: 3 * size.num_pixels].view(shape)
    )
    return triples.permute(2, 0, 1)
