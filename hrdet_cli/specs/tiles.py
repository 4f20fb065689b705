"""How large pictures are cut into tiles."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from hrdet_cli.specs.base import PositiveEdge, Problem, Spec


class TilesSpec(Spec):
    """Large pictures in overlapping tiles, each a picture of its own to training and detection."""

    side_pixels: PositiveEdge = 1024
    """Height and width of a tile, in pixels of the picture. A tile is then resized as a picture is; pictures
    that are no larger are one tile."""
    overlap_pixels: NonNegativeInt = 200
    """Neighbouring tiles share at least so many rows or columns: more than the size of what is looked for,
    so that each object is whole in some tile."""
    min_box_share: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Training: a box that an edge of a tile cuts is learnt from this share of its area on; what is less
    becomes a crowd region."""
    with_whole_pictures: bool = False
    """Take the whole picture, too, in training as in detection, for what is larger than a tile."""
    max_picture_pixels: PositiveInt = 500_000_000
    """Larger pictures are not decoded, for a small file can claim any size. A pixel takes three bytes, and,
    of other formats than JPEG, seven while it is decoded."""
    cache_megabytes: NonNegativeInt = 512
    """Decoded pictures that each data worker keeps for other tiles of them; the last one in any case."""

    def problems(self) -> Iterator[Problem]:
        """Tiles that are nothing but overlap."""
        if self.overlap_pixels >= self.side_pixels:
            yield (
                "overlap_pixels",
                f"{self.overlap_pixels} is not less than side_pixels {self.side_pixels}; lower it, or "
                "enlarge side_pixels",
            )
