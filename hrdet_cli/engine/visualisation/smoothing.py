"""Lines of many noisy points, made such that they can be read."""

import numpy as np
from numpy.typing import NDArray

_NUM_POINTS = 400  # of a line; more steps are averaged in groups
_SMOOTHED_SHARE = 0.05  # of the points, over which a line is averaged

Values = NDArray[np.float64]


def thinned(steps: Values, values: Values) -> tuple[Values, Values]:
    """Means over groups of steps, so that a line has no more points than can be seen."""
    size = -(-len(steps) // _NUM_POINTS)
    starts = np.arange(0, len(steps), size)
    counts = np.diff(np.append(starts, len(steps)))
    return np.add.reduceat(steps, starts) / counts, np.add.reduceat(values, starts) / counts


def moving_average(points: Values) -> Values:
    """Each point's mean with those around it; near the ends with fewer."""
    reach = round(_SMOOTHED_SHARE * len(points) / 2)
    sums = np.cumsum(np.insert(points, 0, 0.0))
    places = np.arange(len(points))
    begins, ends = np.maximum(places - reach, 0), np.minimum(places + reach + 1, len(points))
    averages: Values = (sums[ends] - sums[begins]) / (ends - begins)
    return averages
