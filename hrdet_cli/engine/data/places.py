"""Where an entry stands in files of another format than COCO's, for problems to speak of these."""

from collections.abc import Callable, Mapping
from typing import NamedTuple


class Place(NamedTuple):
    """A place in a file.

    Attributes:
        file: The file, as problems call it.
        item: What of it, such as ``line 3``; empty for the file as a whole.
    """

    file: str
    item: str = ""

    def __str__(self) -> str:
        """As one text."""
        return f"{self.file}: {self.item}" if self.item else self.file


PlaceOf = Callable[[int], Place]
"""The place of an entry of some list, by its row."""

Places = Mapping[str, PlaceOf]
"""Those of each of COCO's lists."""
