"""Label maps: pictures that say of every pixel what kind of thing or stuff it belongs to.

COCO's are called stuffthingmaps.
"""

import io
from collections.abc import Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.picture_names import FoundNames
from hrdet_cli.engine.data.pillow_limits import unlimited_pillow
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.geometry import Size, Window
from hrdet_cli.engine.semantic_labels import LABEL_MAP_STRIDE, UNLABELLED
from hrdet_cli.errors import DataError

_ONE_LABEL_A_PIXEL = ("L", "P")
"""Grey, and a palette's indices."""


class LabelMapError(DataError):
    """A label map is there, and cannot be learnt from.

    Args:
        name: Of the map.
        what: Is wrong with it, and how to mend it; goes behind the name.
        fault: Which of the things that can be wrong: it is no map, or not of its picture's size, or has
            another label.

    Attributes:
        name: As given.
        what: Likewise.
        fault: Likewise.
    """

    def __init__(self, name: str, what: str, *, fault: Literal["unreadable", "size", "label"]) -> None:
        super().__init__(f"label map {name} {what}.")
        self.name = name
        self.what = what
        self.fault = fault

    def __reduce__(self) -> tuple[Any, ...]:
        """Data workers send it to the process that trains."""
        return partial(LabelMapError, fault=self.fault), (self.name, self.what)


class LabelMaps:
    """The label map of each picture: a PNG of the picture's size that is called as it is.

    Args:
        files: Where they are.
        num_labels: Labels are below this, or ``UNLABELLED``.

    Attributes:
        files: As given.
        num_labels: Likewise.
    """

    def __init__(self, files: ImageSource, *, num_labels: int) -> None:
        self.num_labels = num_labels
        self.files = files

    def find(self, file_names: Sequence[str]) -> FoundNames:
        """Look for the maps of all pictures that will be read; reads none."""
        return self.files.find([map_name(name) for name in file_names])

    def why_missing(self, name: str) -> str:
        """Why `find` did not find a map, to go behind its name."""
        return self.files.why_missing(name)

    def read(
        self, file_name: str, original: Size, placement: Placement, window: Window | None = None
    ) -> NDArray[np.uint8]:
        """The labels of every eighth pixel of every eighth row of a placed picture.

        A resized picture's pixel has the label of the original one that is nearest to its corner, as in
        OpenCV's nearest resize.

        Args:
            file_name: The picture's.
            original: Its size as annotated, or that of a tile of it.
            placement: Where this goes.
            window: Which part of the picture the tile is.

        Returns:
            ``(h / 8, w / 8)`` uint8, rounded up, of the placed picture's ``(h, w)``.

        Raises:
            DataError: As of `labels_of`.
        """
        rows, columns = _sources(original, placement)
        if window is None:
            labels = self.labels_of(file_name, original)[np.ix_(rows, columns)]
        else:
            whole = self.labels_of(file_name, window.whole)
            labels = whole[np.ix_(rows + window.top, columns + window.left)]
        return labels.T if placement.quarter_turns % 2 else labels

    def labels_of(self, file_name: str, original: Size) -> NDArray[np.uint8]:
        """The label of every pixel of a picture.

        Args:
            file_name: The picture's.
            original: Its size as annotated.

        Returns:
            ``(H, W)`` uint8.

        Raises:
            LabelMapError: It is no map, or not of the picture's size, or has another label.
            DataError: It is missing, or cannot be read.
        """
        name = map_name(file_name)
        image = _open(self.files.read(name), name)
        size = Size(image.height, image.width)
        if size != original:
            what = (
                f"is {size}, but its picture {file_name} is {original}, width x height. Label maps must have "
                "the size of their pictures"
            )
            raise LabelMapError(name, what, fault="size")
        labels = _decode(image, name)
        is_known = (labels < self.num_labels) | (labels == UNLABELLED)
        if not is_known.all():
            what = (
                f"has the label {labels[~is_known][0]}, but there are {self.num_labels}, counted from 0, and "
                f"{UNLABELLED} for pixels without one. Set model.head.semantic.num_labels, or correct the map"
            )
            raise LabelMapError(name, what, fault="label")
        return labels


def map_name(file_name: str) -> str:
    """What the label map of a picture is called: ``a/1.jpg`` has ``a/1.png``."""
    return PurePosixPath(file_name).with_suffix(".png").as_posix()


def _open(data: bytes, name: str) -> Image.Image:
    """A map whose pixels are not decoded yet."""
    try:
        with unlimited_pillow():
            image = Image.open(io.BytesIO(data))
    except Exception as error:  # decoders meet any bytes: there is no list of what they raise
        raise _undecodable(name) from error
    if image.mode not in _ONE_LABEL_A_PIXEL:
        what = (
            f"has pixels of mode {image.mode}, not a label of 8 bits each. Save it as a grey PNG, or with a "
            "palette whose indices are the labels"
        )
        raise LabelMapError(name, what, fault="unreadable")
    return image


def _decode(image: Image.Image, name: str) -> NDArray[np.uint8]:
    try:
        return np.asarray(image)
    except Exception as error:  # likewise
        raise _undecodable(name) from error


def _undecodable(name: str) -> LabelMapError:
    what = "cannot be decoded. Replace it with a PNG of one label a pixel"
    return LabelMapError(name, what, fault="unreadable")


def _sources(original: Size, placement: Placement) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the original picture that labels are read from.

    Where the picture lies on its side, its rows are the columns of the map.
    """
    upright, resized, crop = placement.upright, placement.resized, placement.crop
    rows, columns = np.arange(upright.height), np.arange(upright.width)
    if placement.quarter_turns in (2, 3):
        rows = rows[::-1]
    if placement.quarter_turns in (1, 2):
        columns = columns[::-1]
    rows, columns = rows[::LABEL_MAP_STRIDE], columns[::LABEL_MAP_STRIDE]
    if placement.flipped:
        columns = upright.width - 1 - columns
    if crop is not None:
        rows, columns = rows + crop.top, columns + crop.left
    return rows * original.height // resized.height, columns * original.width // resized.width
