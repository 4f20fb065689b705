"""The pictures that a process decoded last, for tiles of one picture that come soon after each other."""

from collections import OrderedDict
from collections.abc import Callable

from hrdet_cli.engine.data.decoding import DecodedPicture, decode_picture
from hrdet_cli.engine.geometry import Size


class DecodedPictures:
    """Keeps as many of the last pictures as there is room for, and the last one whatever its size.

    Each data worker has a copy of its own.

    Args:
        most_bytes: The room.
        max_pixels: Larger pictures are refused.
    """

    def __init__(self, *, most_bytes: int, max_pixels: int) -> None:
        self._most_bytes = most_bytes
        self._max_pixels = max_pixels
        self._kept: OrderedDict[str, DecodedPicture] = OrderedDict()
        self._num_bytes = 0

    def get(self, name: str, size: Size, read: Callable[[], bytes]) -> DecodedPicture:
        """A picture.

        Args:
            name: Its file.
            size: As annotated; room for its pixels is made first.
            read: Gives the file's bytes, if the picture is not kept.

        Raises:
            DataError: It cannot be read.
        """
        if name not in self._kept:
            num_bytes = 3 * size.num_pixels
            while self._kept and self._num_bytes + num_bytes > self._most_bytes:
                _, dropped = self._kept.popitem(last=False)
                self._num_bytes -= dropped.pixels.nbytes
            self._kept[name] = decode_picture(read(), expected=size, name=name, max_pixels=self._max_pixels)
            self._num_bytes += num_bytes
        self._kept.move_to_end(name)
        return self._kept[name]
