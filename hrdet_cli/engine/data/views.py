"""The views of pictures that a detector looks at: each picture, or each tile, in one or several ways."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from torch import Tensor

from hrdet_cli.engine.data.batch import Sample
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.showings import Showing
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.geometry import Scale


class Samples(Protocol):
    """Samples by number, such as a ``PictureDataset``."""

    def __len__(self) -> int:
        """How many there are."""

    def name_of(self, index: int) -> str:
        """The file of a sample's picture."""

    def placement_of(self, epoch: int, showing: Showing, *, scale: Scale | None = None) -> Placement:
        """Where a sample's picture goes; reads no picture."""

    def sample(
        self, epoch: int, showing: Showing, *, scale: Scale | None = None, room: Tensor | None = None
    ) -> Sample:
        """A sample, its pixels in the memory given; raises ``DataError`` where its picture cannot be read."""


class Views:
    """Every picture of a data set in each of W ways, one after the other: all views of a picture together.

    Args:
        ways: The same pictures, placed in different ways, which must not draw anything; at least one.
    """

    def __init__(self, ways: Sequence[PictureDataset]) -> None:
        self._ways = tuple(ways)

    def __len__(self) -> int:
        """Number of views."""
        return len(self._ways) * len(self._ways[0])

    def name_of(self, index: int) -> str:
        """See ``Samples``."""
        return self._ways[0].name_of(index // len(self._ways))

    def placement_of(self, epoch: int, showing: Showing, *, scale: Scale | None = None) -> Placement:
        """See ``Samples``."""
        way, picture = self._in_way(showing)
        return way.placement_of(epoch, picture, scale=scale)

    def sample(
        self, epoch: int, showing: Showing, *, scale: Scale | None = None, room: Tensor | None = None
    ) -> Sample:
        """See ``Samples``."""
        way, picture = self._in_way(showing)
        return way.sample(epoch, picture, scale=scale, room=room)

    def _in_way(self, showing: Showing) -> tuple[PictureDataset, Showing]:
        index, way = divmod(showing.index, len(self._ways))
        return self._ways[way], replace(showing, index=index)
