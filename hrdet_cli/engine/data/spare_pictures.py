"""Other pictures in the place of training pictures that cannot be read."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hrdet_cli.engine.data.batch import Sample
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.keys import generator_for, spare_key
from hrdet_cli.engine.data.showings import Showing
from hrdet_cli.engine.geometry import Scale, Size
from hrdet_cli.errors import DataError

MOST_DRAWS = 100
"""For one picture; a data set in which so many in a row do not serve is not one to train on."""


class SparePictures:
    """Draws a picture in the place of a broken one: a function of (seed, epoch, broken showing).

    Args:
        dataset: Where samples come from.
        indices: ``(M,)`` positions in the annotation file of the pictures to draw from.
    """

    def __init__(self, dataset: PictureDataset, indices: NDArray[np.int64]) -> None:
        self._dataset = dataset
        self._indices = indices

    def replace(
        self,
        broken: Showing,
        error: DataError,
        *,
        epoch: int,
        scale: Scale | None,
        canvas: Size,
        room: Tensor | None = None,
    ) -> Sample:
        """Another picture that can be read and fits the canvas of the batch.

        Args:
            broken: Of the picture that cannot be read.
            error: Why not.
            epoch: Counted from 0.
            scale: That of the step; None draws one for the picture alone.
            canvas: What the picture has to fit.
            room: As of ``PictureDataset.sample``.

        Raises:
            DataError: Of `MOST_DRAWS` pictures none serves.
        """
        for spare in self._draw(broken, epoch):
            placed = self._dataset.placement_of(epoch, spare, scale=scale).placed
            if placed.height > canvas.height or placed.width > canvas.width:
                continue
            try:
                return self._dataset.sample(epoch, spare, scale=scale, room=room)
            except DataError:
                continue  # its own turn will name it
        raise DataError(
            f"{error} Of {MOST_DRAWS} other pictures drawn in its place none can be read and fits a canvas "
            f"of {canvas}; see what is left with: hrdet check-data"
        )

    def _draw(self, broken: Showing, epoch: int) -> Iterator[Showing]:
        key = spare_key(
            seed=self._dataset.seed, epoch=epoch, index=broken.index, occurrence=broken.occurrence
        )
        generator = generator_for(key)
        for position in generator.integers(len(self._indices), size=MOST_DRAWS).tolist():
            yield Showing(int(self._indices[position]))
