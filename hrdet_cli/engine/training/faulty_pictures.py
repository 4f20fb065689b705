"""What is told of pictures that could not be read, or not without damage."""

from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

from hrdet_cli.engine.data.batch import Batch, PictureFault
from hrdet_cli.engine.distributed.collectives import gather_everywhere


class FaultyPictures(NamedTuple):
    """The pictures of a step that could not be read, and those that could with damage."""

    broken: tuple[PictureFault, ...] = ()
    damaged: tuple[PictureFault, ...] = ()

    def everywhere(self) -> "FaultyPictures":
        """Those of all processes."""
        parts = gather_everywhere(self, what="names of broken pictures")
        return FaultyPictures(*(tuple(chain.from_iterable(kind)) for kind in zip(*parts, strict=True)))


class FaultLog:
    """Remembers which damaged pictures this process has told: they come again in every epoch."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def untold(self, batches: Sequence[Batch]) -> FaultyPictures:
        """What this process has to tell of the batches of a step."""
        damaged = {fault.file_name: fault for batch in batches for fault in batch.damaged}
        new = tuple(fault for name, fault in damaged.items() if name not in self._told)
        self._told.update(damaged)
        return FaultyPictures(tuple(fault for batch in batches for fault in batch.broken), new)
