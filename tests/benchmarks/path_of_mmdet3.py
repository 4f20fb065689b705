"""The data path of mmdetection 3, written anew: what its workers do, up to the batch they hand over.

LoadImageFromFile, Resize with the ratio kept, RandomFlip and PackDetInputs: files are read and decoded by
OpenCV, resized as uint8, flipped as a view and packed as one contiguous tensor with channels first. A batch
is a list of such tensors: the device exchanges channels, normalises and pads. Boxes are left out.
"""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrdet_cli.engine.data.batch import PictureRecord

from .path_of_2019 import Reader, decode


def make_batch(records: Sequence[PictureRecord], read: Reader) -> list[Tensor]:
    """A ``(3, h, w)`` uint8 tensor for each picture, placed as its record says."""
    return [_pack(_make_picture(record, read)) for record in records]


def _make_picture(record: PictureRecord, read: Reader) -> NDArray[np.uint8]:
    size = (record.placement.resized.width, record.placement.resized.height)
    pixels = cv2.resize(decode(read(record.file_name)), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.flip(pixels, axis=1) if record.placement.flipped else pixels, dtype=np.uint8)


def _pack(pixels: NDArray[np.uint8]) -> Tensor:
    if pixels.flags.c_contiguous:
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))
