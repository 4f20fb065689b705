"""Average precision of parts of the data: objects by size and shape, pictures by what is in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import hotcoco
import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.evaluation.analysis.matching import Matching
from hrdet_cli.engine.evaluation.back_ends import compare
from hrdet_cli.engine.evaluation.comparison import Comparison

_HIGHEST = 1e10


@dataclass(frozen=True, slots=True)
class Slice:
    """A part of the data.

    Attributes:
        name: Such as ``16 to 32 px``.
        num_pictures: In it; None of a part of the objects, which may lie in any picture.
        num_objects: To be found in it.
        average_precision: Over overlaps of 0.50 to 0.95; None where nothing is to be found.
        average_precision_50: At an overlap of 0.50, likewise.
        share_found: Of its objects, by detections from the operating point's score on; None likewise.
    """

    name: str
    num_pictures: int | None
    num_objects: int
    average_precision: float | None
    average_precision_50: float | None
    share_found: float | None


@dataclass(frozen=True, slots=True)
class SliceAxis:
    """The data cut by one property.

    Attributes:
        name: The property.
        parts: What is cut: objects, or whole pictures.
        slices: Those that there is something in, in the order of the property; two or more.
    """

    name: str
    parts: Literal["objects", "pictures"]
    slices: Sequence[Slice]


@dataclass(frozen=True, slots=True)
class _Cut:
    """Where a property is cut: n ascending edges, each the lowest value of the slice above; n + 1 names."""

    name: str
    edges: Sequence[float]
    slices: Sequence[str]

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value by name."""
        ends = [0.0, *self.edges, _HIGHEST]
        return dict(zip(self.slices, pairwise(ends), strict=True))


_SIZE = _Cut(
    "object size",
    [side**2 for side in (16, 32, 64, 128, 256)],
    ("under 16 px", "16 to 32 px", "32 to 64 px", "64 to 128 px", "128 to 256 px", "over 256 px"),
)
_SHAPE = _Cut(
    "object shape, width : height",
    (1 / 3, 2 / 3, 3 / 2, 3),
    ("under 1 : 3", "1 : 3 to 2 : 3", "2 : 3 to 3 : 2", "3 : 2 to 3 : 1", "over 3 : 1"),
)
_CROWDEDNESS = _Cut(
    "objects in the picture",
    (1, 2, 4, 8, 16, 32),
    ("none", "1", "2 to 3", "4 to 7", "8 to 15", "16 to 31", "32 and more"),
)
_PICTURE_SIZE = _Cut(
    "longer edge of the picture",
    (256, 512, 1024, 2048, 4096),
    ("under 256 px", "256 to 511 px", "512 to 1023 px", "1024 to 2047 px", "2048 to 4095 px", "over 4095 px"),
)
_USEFUL_PIXELS = _Cut(
    "useful pixels of the canvas",
    (0.5, 0.6, 0.7, 0.8, 0.9),
    ("under 50%", "50 to 60%", "60 to 70%", "70 to 80%", "80 to 90%", "90 to 100%"),
)


def slice_up(
    evaluation: hotcoco.COCOeval,
    comparison: Comparison,
    matching: Matching,
    *,
    min_score: float,
    is_left_out: NDArray[np.bool_],
    useful_shares: NDArray[np.float64] | None = None,
) -> list[SliceAxis]:
    """Cut by each property by which the data differ.

    Objects are cut as COCO's sizes are: those outside a slice, and detections outside that are nobody's,
    count neither for nor against it. Pictures are cut as a whole.

    Args:
        evaluation: Of the comparison, evaluated.
        comparison: Of M pictures.
        matching: Of the same.
        min_score: Of detections that find objects.
        is_left_out: ``(M,)`` which pictures do not count.
        useful_shares: ``(M,)`` share of the detector's canvas that each picture fills, in [0, 1].
    """
    is_found = np.zeros(len(matching.is_found), dtype=np.bool_)
    is_found[matching.objects[matching.is_right & (comparison.scores >= min_score)]] = True
    objects = _ObjectSlices(comparison, matching.counts, is_found)
    pictures = _PictureSlices(evaluation, comparison, matching.counts, is_found, is_left_out)
    axes = [
        objects.cut(_SIZE, comparison.truth.areas, comparison.found.areas),
        objects.cut(_SHAPE, _shapes(comparison.truth.boxes), _shapes(comparison.found.boxes)),
        pictures.cut(_CROWDEDNESS, pictures.num_objects),
        pictures.cut(_PICTURE_SIZE, comparison.picture_sizes.max(axis=1)),
    ]
    if useful_shares is not None:
        axes.append(pictures.cut(_USEFUL_PIXELS, useful_shares))
    return [axis for axis in axes if len(axis.slices) > 1]


def _shapes(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(N,)`` width over height."""
    widths, heights = boxes[:, 2].clip(min=0), boxes[:, 3]
    found: NDArray[np.float64] = np.divide(
        widths, heights, out=np.full(len(boxes), _HIGHEST), where=heights > 0
    )
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _ObjectSlices:
    comparison: Comparison
    counts: NDArray[np.bool_]
    is_found: NDArray[np.bool_]

    def cut(self, cut: _Cut, of_true: NDArray[np.float64], of_found: NDArray[np.float64]) -> SliceAxis:
        """The property takes the place of areas, by which the back end tells sizes."""
        comparison = replace(
            self.comparison,
            truth=replace(self.comparison.truth, areas=of_true),
            found=replace(self.comparison.found, areas=of_found),
            ranges={"": (0, _HIGHEST), **cut.ranges},
        )
        precision = compare(comparison, "hotcoco").precision[..., -1]
        slices = (
            self._slice(name, self.counts & (of_true >= low) & (of_true <= high), precision[..., place])
            for place, (name, (low, high)) in enumerate(cut.ranges.items(), start=1)
        )
        return SliceAxis(cut.name, "objects", tuple(one for one in slices if one.num_objects))

    def _slice(self, name: str, is_in: NDArray[np.bool_], precision: NDArray[np.float64]) -> Slice:
        return Slice(
            name=name,
            num_pictures=None,
            num_objects=int(is_in.sum()),
            average_precision=_mean(precision),
            average_precision_50=_mean(precision[0]),
            share_found=_share(self.is_found, is_in),
        )


@dataclass(frozen=True, slots=True, eq=False)
class _PictureSlices:
    evaluation: hotcoco.COCOeval
    comparison: Comparison
    counts: NDArray[np.bool_]
    is_found: NDArray[np.bool_]
    is_left_out: NDArray[np.bool_]

    @property
    def num_objects(self) -> NDArray[np.int64]:
        """``(M,)`` to be found."""
        pictures = self.comparison.truth.pictures[self.counts]
        return np.bincount(pictures, minlength=len(self.is_left_out)).astype(np.int64)

    def cut(self, cut: _Cut, values: NDArray[Any]) -> SliceAxis:
        """Each picture goes where its value is."""
        places = np.searchsorted(np.array(cut.edges), values, side="right")
        members = {
            name: np.flatnonzero((places == place) & ~self.is_left_out).tolist()
            for place, name in enumerate(cut.slices)
        }
        members = {name: pictures for name, pictures in members.items() if pictures}
        metrics = self.evaluation.slice_by(members)
        slices = (self._slice(name, pictures, metrics[name]) for name, pictures in members.items())
        return SliceAxis(cut.name, "pictures", tuple(slices))

    def _slice(self, name: str, pictures: Sequence[int], metrics: Mapping[str, float]) -> Slice:
        is_in = self.counts & np.isin(self.comparison.truth.pictures, pictures)
        return Slice(
            name=name,
            num_pictures=len(pictures),
            num_objects=int(is_in.sum()),
            average_precision=_known(metrics["AP"]),
            average_precision_50=_known(metrics["AP50"]),
            share_found=_share(self.is_found, is_in),
        )


def _share(is_found: NDArray[np.bool_], is_in: NDArray[np.bool_]) -> float | None:
    return float(is_found[is_in].mean()) if is_in.any() else None


def _mean(precision: NDArray[np.float64]) -> float | None:
    """Of what there is something to find for."""
    counted = precision[precision > -1]
    return float(counted.mean()) if len(counted) else None


def _known(value: float) -> float | None:
    """Of hotcoco, whose -1 stands for nothing to find."""
    return None if value < 0 else float(value)
