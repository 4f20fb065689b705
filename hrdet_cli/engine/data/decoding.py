"""From the bytes of a picture to RGB pixels, whatever the format."""

import io
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError


def decode_rgb(data: bytes, *, expected: Size, name: str) -> Tensor:
    """Decode a picture.

    Alpha and palette transparency are dropped, not blended, as COCO's tools do; 16-bit grey keeps its high
    byte; of an animation the first frame counts.

    The annotations decide about EXIF orientation: boxes were drawn either on the stored pixels or on the
    turned ones, and the size they give says on which.  Pixels stored with the expected size are taken as
    they are; otherwise an orientation that exchanges height and width is applied.

    Args:
        data: The encoded file.
        expected: Size of the picture according to its annotations.
        name: What errors call the picture.

    Returns:
        ``(3, H, W)`` uint8 RGB of the expected size.

    Raises:
        DataError: The picture is damaged, of an unknown kind, too large, or not of the expected size.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image: Image.Image = Image.open(io.BytesIO(data))
        stored = Size(image.height, image.width)
        if stored != expected:
            image = ImageOps.exif_transpose(image)
        if (image.height, image.width) == (expected.height, expected.width):
            return torch.from_numpy(_rgb_of(image)).permute(2, 0, 1)
    except Exception as error:  # decoders meet hostile bytes: there is no list of what they raise
        is_unknown = isinstance(error, UnidentifiedImageError)
        reason = "its format is not known" if is_unknown else str(error) or type(error).__name__
        raise DataError(
            f"picture {name} cannot be decoded: {reason}. Replace it or remove it from the annotations."
        ) from error
    raise DataError(
        f"picture {name} is {stored} but its annotations say {expected}, width x height. "
        "Correct the size and boxes in the annotation file, or the picture."
    )


def _rgb_of(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels as ``(H, W, 3)``."""
    if image.mode in ("I", "F"):
        raise ValueError(
            f"pixels of mode {image.mode} have no known range; convert the picture to 8 or 16 bits"
        )
    if image.mode.startswith("I;16"):
        high_byte = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(high_byte[..., None], 3, axis=2)
    if image.mode in ("P", "PA"):
        image = image.convert("RGBA")  # a palette with transparency has no other way to RGB
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))
