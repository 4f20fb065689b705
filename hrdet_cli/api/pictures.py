"""The pictures that a script gives: paths, arrays, and Pillow's."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from hrdet_cli.engine.data.decoding import DecodedPicture, decode_picture, decode_pillow_picture
from hrdet_cli.engine.data.folder_images import FolderImages
from hrdet_cli.errors import DataError
from hrdet_cli.file_kinds import why_no_file

AnyPath = str | os.PathLike[str]

Picture = AnyPath | NDArray[np.uint8] | Image.Image
"""A picture: the path of a file, ``(H, W, 3)`` uint8 in the order red, green, blue, or one of Pillow's."""


class GivenPicture(NamedTuple):
    """A picture that was given.

    Attributes:
        number: Counted from 1.
        name: What messages call it.
        content: The picture.
    """

    number: int
    name: str
    content: Picture


def is_one_picture(pictures: object) -> bool:
    """Whether this is a picture, and not several; arrays of a wrong shape and tensors are taken for one."""
    return isinstance(pictures, str | os.PathLike | np.ndarray | Image.Image | Tensor)


def numbered(pictures: Iterable[Picture]) -> Iterable[GivenPicture]:
    """Pictures with their numbers and names; taken one by one."""
    try:
        several = iter(pictures)
    except TypeError as error:
        raise DataError(f"a {type(pictures).__name__} is no picture; {_KINDS}") from error
    return (
        GivenPicture(number, _name_of(picture, number), picture)
        for number, picture in enumerate(several, start=1)
    )


def read_given_picture(given: GivenPicture, *, max_pixels: int) -> DecodedPicture:
    """The pixels of a picture.

    Args:
        given: The picture.
        max_pixels: Larger files are not decoded.

    Raises:
        DataError: It cannot be read, or is in none of the forms that pictures have.
    """
    content: Any = given.content
    if isinstance(content, np.ndarray):
        return DecodedPicture(_pixels_of_array(content, given.name), None)
    if isinstance(content, Image.Image):
        return DecodedPicture(decode_pillow_picture(content, name=given.name), None)
    if isinstance(content, str | os.PathLike):
        return _read_file(Path(content), given.name, max_pixels)
    remedy = ", which may be that of tensor.permute(1, 2, 0).numpy()" if isinstance(content, Tensor) else ""
    raise DataError(f"{given.name} is a {type(content).__name__}; {_KINDS}{remedy}")


_KINDS = "give a path, an array (H, W, 3) of uint8 in RGB, or a picture of Pillow"


def _name_of(picture: Picture, number: int) -> str:
    return os.fspath(picture) if isinstance(picture, str | os.PathLike) else f"picture {number}"


def _read_file(path: Path, name: str, max_pixels: int) -> DecodedPicture:
    if path.is_dir():
        raise DataError(
            f"{name}: is a folder; give its pictures, as with sorted(Path({name!r}).glob('*.jpg'))"
        )
    if not path.exists():
        raise DataError(f"{name}: {why_no_file(path)}; {_KINDS}")
    data = FolderImages(path.parent).read(path.name)
    return decode_picture(data, expected=None, name=name, max_pixels=max_pixels)


def _pixels_of_array(array: NDArray[Any], name: str) -> Tensor:
    """``(3, H, W)`` uint8, sharing the array's memory where it lies in order.

    Raises:
        DataError: The array is in another form.
    """
    found = f"{name} is an array {array.shape} of {array.dtype}, and must be (H, W, 3) of uint8 in RGB"
    if array.ndim == 4:
        raise DataError(f"{found}; give several pictures as a list")
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3, 4):
        raise DataError(f"{found}; bring channels last with array.transpose(1, 2, 0)")
    if array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 1):
        raise DataError(f"{found}; make grey three channels with Image.fromarray(array).convert('RGB')")
    if array.ndim == 3 and array.shape[2] == 4:
        raise DataError(f"{found}; leave alpha out with array[..., :3]")
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise DataError(found)
    if array.dtype.kind == "f":
        raise DataError(f"{found}; write (array * 255).round().astype('uint8') if its values are in [0, 1]")
    if array.dtype != np.uint8:
        raise DataError(f"{found}; write array.astype('uint8') if its values are in [0, 255]")
    return torch.from_numpy(np.require(array, requirements=["C", "W"])).permute(2, 0, 1)
