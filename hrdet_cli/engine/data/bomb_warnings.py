"""Pillow's warnings of pictures that decompress to many pixels; hrdet has a limit of its own for these."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image


@contextmanager
def bomb_warnings_ignored() -> Iterator[None]:
    """Inside, Pillow does not warn of pictures that `decode_rgb` takes; larger ones it refuses anyway.

    Python has one set of rules about warnings for all threads: who decodes in threads puts this round them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield
