"""Which pictures an epoch shows, and how often, where some are to come more often than others."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.keys import generator_for, picture_key, showings_key

_DECIMALS = 6  # to which sums of rates are trusted: those that should be whole numbers are


@dataclass(frozen=True, slots=True)
class Showing:
    """A picture's place in an epoch.

    Attributes:
        index: Its position in the annotation file.
        occurrence: How often it came before among the showings of the epoch, in whatever order. What is drawn
            for a picture is drawn anew for each. Pictures that only fill a last batch are shown as before.
    """

    index: int
    occurrence: int = 0

    def key(self, *, seed: int, epoch: int) -> int:
        """Key of all random choices made for it; see `picture_key`."""
        return picture_key(seed=seed, epoch=epoch, index=self.index, occurrence=self.occurrence)


@dataclass(frozen=True, slots=True, eq=False)
class Showings:
    """Many of them as arrays of one shape.

    Attributes:
        pictures: int64, positions in some array of pictures.
        occurrences: int64.
    """

    pictures: NDArray[np.int64]
    occurrences: NDArray[np.int64]


class EpochSampler:
    """Decides how often an epoch shows each picture.

    Every epoch has as many showings of each orientation, or a run's number of steps would not be known before
    it ends: the sum of the pictures' rates, rounded up to whole batches.

    Args:
        rates: ``(M,)`` how often each picture is to be shown in an epoch, 0 or more; None shows each once.
        is_portrait: ``(M,)`` bool; batches have one orientation.
        batch_size: Pictures in one step over all processes.

    Attributes:
        num_steps: Steps in an epoch.
        num_fillers: How many showings of an epoch only fill the last batch of each orientation.
        expected: ``(M,)`` how often an epoch shows each picture on average. Without rates, those that fill
            the last batches are not counted.
    """

    def __init__(
        self, rates: NDArray[np.float64] | None, *, is_portrait: NDArray[np.bool_], batch_size: int
    ) -> None:
        self._shows_each_once = rates is None
        self.expected = np.ones(len(is_portrait)) if rates is None else rates.copy()
        self._members = [np.flatnonzero(is_portrait == orientation) for orientation in (False, True)]
        self._wanted = [float(self.expected[members].sum().round(_DECIMALS)) for members in self._members]
        self._num_showings = self._in_whole_batches(batch_size)
        self.num_steps = sum(self._num_showings) // batch_size
        self.num_fillers = self.num_fillers_of(batch_size)
        if rates is not None:
            for members, number in zip(self._members, self._num_showings, strict=True):
                if number:
                    self.expected[members] *= number / rates[members].sum()

    def num_fillers_of(self, batch_size: int) -> int:
        """How many ``num_fillers`` there are with another number of pictures in a step."""
        return sum(self._in_whole_batches(batch_size)) - round(sum(self._wanted))

    def _in_whole_batches(self, batch_size: int) -> list[int]:
        """How many showings of each orientation there are."""
        return [int(np.ceil(total / batch_size)) * batch_size for total in self._wanted]

    def draw(self, *, seed: int, epoch: int) -> Showings:
        """Draw all showings of an epoch, those of a picture together.

        What is drawn for a picture is one of the whole numbers around what is expected, with that as the
        mean: systematic sampling (Madow 1949) over the pictures in an order drawn anew.

        Args:
            seed: The run's seed.
            epoch: Counted from 0.
        """
        counts = np.ones(len(self.expected), dtype=np.int64)
        if not self._shows_each_once:
            generator = generator_for(showings_key(seed=seed, epoch=epoch))
            for members, number in zip(self._members, self._num_showings, strict=True):
                shuffled = generator.permutation(members)
                reached = np.minimum(np.cumsum(self.expected[shuffled]), number)
                reached[-1:] = number  # whatever the sum's last bits are
                ends = np.floor(reached + generator.random()).astype(np.int64)
                counts[shuffled] = np.diff(ends, prepend=0)
        pictures = np.repeat(np.arange(len(counts)), counts)
        first_of_picture = np.repeat(np.cumsum(counts) - counts, counts)
        return Showings(pictures, np.arange(len(pictures)) - first_of_picture)
