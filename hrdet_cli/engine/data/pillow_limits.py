"""Pillow's warnings and errors of pictures with many pixels, in whose place hrdet has a limit of its own."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

MAX_PICTURE_PIXELS = 178_956_970
"""Larger pictures are not decoded unless somebody asks for it: twice Pillow's ``MAX_IMAGE_PIXELS``, where it
stops warning and refuses; half a gigabyte as RGB."""


@contextmanager
def unlimited_pillow() -> Iterator[None]:
    """Inside, Pillow opens pictures of any size; who opens one looks at its size before it is decoded.

    Python has one set of rules about warnings for all threads, and Pillow one limit: who decodes in threads
    puts this round them.
    """
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = limit
