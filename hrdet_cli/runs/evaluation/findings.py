"""What a detector finds in a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.batch import PictureFault
from hrdet_cli.engine.data.decoding import decode_rgb
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.runs.dataset.part import DatasetPart


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """A data set's detections.

    Attributes:
        pictures: All that were read, by image id; labels are those of the annotations.
        broken: Those that could not be read, by name.
        damaged: JPEGs with damaged pixels, likewise.
        losses: Means over all pictures, by name; none where they were not asked for.
        useful_shares: Share of its canvas that each picture fills, by its file.
        nothing: That nothing was found in any picture, and why, in words; None where something was.
    """

    part: DatasetPart
    pictures: Sequence[PictureDetections]
    broken: tuple[PictureFault, ...]
    damaged: tuple[PictureFault, ...]
    losses: Mapping[str, float]
    useful_shares: Mapping[str, float]
    nothing: str | None

    def ids_left_out(self) -> set[int]:
        """Ids of the broken pictures."""
        annotations = self.part.annotations
        names = [fault.file_name for fault in self.broken]
        return set(annotations.image_ids[np.isin(annotations.file_names, names)].tolist())

    def read(self, name: str, *, max_pixels: int) -> NDArray[np.uint8]:
        """Pixels of a picture by its file: ``(H, W, 3)`` uint8, RGB.

        Args:
            name: Of a file of the annotations.
            max_pixels: Larger ones are refused.
        """
        annotations = self.part.annotations
        index = int(np.flatnonzero(annotations.file_names == name)[0])
        pixels = decode_rgb(
            self.part.images.read(name),
            expected=annotations.size_of(index),
            name=name,
            max_pixels=max_pixels,
        )
        channels_last: NDArray[np.uint8] = pixels.permute(1, 2, 0).numpy()
        return channels_last
