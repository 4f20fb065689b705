"""The data path that HRNet detectors had in 2019, written anew: float pixels from the resize on.

The order is that of its transforms and its collation: resize, normalise, flip, pad to a multiple of 32, turn
to channels first, pad to the canvas, stack. Boxes are left out.
"""

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hrdet_cli.engine.data.batch import PictureRecord
from hrdet_cli.engine.geometry import Size

Reader = Callable[[str], bytes]

_MEAN = np.array([123.675, 116.28, 103.53], dtype=np.float32)
_STD = np.array([58.395, 57.12, 57.375], dtype=np.float32)


def reader_of_folder(folder: Path) -> Reader:
    return lambda name: (folder / name).read_bytes()


def reader_of_zip(path: Path) -> Reader:
    """Opens the archive, and so reads its whole directory, for every picture."""

    def read(name: str) -> bytes:
        with zipfile.ZipFile(path) as archive:
            return archive.read(f"{path.stem}/{name}")

    return read


def make_batch(records: Sequence[PictureRecord], read: Reader, canvas: Size) -> Tensor:
    """``(N, 3, H, W)`` float32 pixels of pictures placed as the records say."""
    return torch.stack([_on_canvas(_make_picture(record, read), canvas) for record in records])


def decode(data: bytes) -> NDArray[np.uint8]:
    """``(H, W, 3)`` BGR."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), dtype=np.uint8)


def resize(pixels: NDArray[np.uint8], size: Size) -> NDArray[np.float32]:
    return np.asarray(cv2.resize(pixels.astype(np.float32), (size.width, size.height)), dtype=np.float32)


def _make_picture(record: PictureRecord, read: Reader) -> Tensor:
    pixels = resize(decode(read(record.file_name)), record.placement.resized)
    pixels = (cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) - _MEAN) / _STD
    if record.placement.flipped:
        pixels = np.flip(pixels, axis=1)
    height, width = pixels.shape[:2]
    padded = np.zeros((_round_up(height), _round_up(width), 3), dtype=np.float32)
    padded[:height, :width] = pixels
    return torch.from_numpy(np.ascontiguousarray(padded.transpose(2, 0, 1)))


def _on_canvas(picture: Tensor, canvas: Size) -> Tensor:
    height, width = picture.shape[1:]
    return F.pad(picture, (0, canvas.width - width, 0, canvas.height - height))


def _round_up(edge: int) -> int:
    return -(-edge // 32) * 32
