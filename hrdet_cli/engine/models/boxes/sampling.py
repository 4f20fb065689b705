"""Draws the fixed number of candidates per picture that a loss looks at."""

from dataclasses import dataclass

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.arithmetic import take_rows
from hrdet_cli.engine.models.boxes.matching import Matches
from hrdet_cli.engine.models.boxes.random_keys import bits_from_keys

_LEAST_POSITIVE = 2**62


@dataclass(frozen=True, slots=True)
class Sample:
    """S drawn candidates per picture, positives first.

    Attributes:
        index: ``(N, S)`` int64, which candidate; any one where not ``is_valid``.
        is_positive: ``(N, S)`` bool.
        is_valid: ``(N, S)`` bool; False where a picture had too few candidates to fill its slots.
    """

    index: Tensor
    is_positive: Tensor
    is_valid: Tensor

    def pick(self, values: Tensor) -> Tensor:
        """The drawn candidates' rows of ``values``, ``(N, R, ...)`` to ``(N, S, ...)``."""
        return take_rows(values, self.index)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sampler:
    """Draws without replacement: positives up to a share, negatives for the rest.

    Attributes:
        num_samples: Candidates per picture.
        positive_fraction: At most ``max_positive`` of them are positive. Missing
            positives are made up for with negatives, not the other way round.
        stream: Stream of the pictures' keys that the draws come from; each sampler of a model has its own.
    """

    num_samples: int
    positive_fraction: float
    stream: int

    @property
    def max_positive(self) -> int:
        """Most positives of a picture; they are in as many of its first slots."""
        return int(self.num_samples * self.positive_fraction)

    def draw(self, matches: Matches, keys: Tensor, numbers: Tensor) -> Sample:
        """Draw from each picture's positives and negatives.

        Args:
            matches: Of R candidates in each of N pictures.
            keys: ``(N,)`` int64, the pictures' random keys.
            numbers: ``(R,)`` int64 in ``0 .. 2**31 - 1``, all different. Key and number decide which of a
                picture's candidates are drawn, and not their place among others, which depends on the
                canvas and on who else is in the batch.

        Returns:
            S = ``min(num_samples, R)`` slots per picture.
        """
        bits = bits_from_keys(keys, counters=numbers, stream=self.stream)
        # 62 bits, of which the lower half makes all different: nothing is left to the order of equals.
        draws = (bits >> 1 << 31) + numbers
        return _highest(matches, draws, num_samples=self.num_samples, max_positive=self.max_positive)


@dataclass(frozen=True, kw_only=True, slots=True)
class HardSampler:
    """Takes the positives and the negatives that the detector is most wrong about, and draws nothing.

    Online hard example mining (https://arxiv.org/abs/1604.03540), shared out as mmdetection does: the hardest
    positives up to a share, the hardest negatives for the rest.

    Attributes:
        num_samples: As of ``Sampler``.
        positive_fraction: As of ``Sampler``.
    """

    num_samples: int
    positive_fraction: float

    @property
    def max_positive(self) -> int:
        """As of ``Sampler``."""
        return int(self.num_samples * self.positive_fraction)

    def take(self, matches: Matches, losses: Tensor, numbers: Tensor) -> Sample:
        """Take each picture's hardest positives and negatives.

        Args:
            matches: Of R candidates in each of N pictures.
            losses: ``(N, R)`` not negative, how wrong the detector is about each; compared in float32.
            numbers: ``(R,)`` int64 in ``0 .. 2**31 - 1``, all different; they decide between equals.

        Returns:
            S = ``min(num_samples, R)`` slots per picture.
        """
        # The bits of floats that are not negative are in the order of the floats; abs() is for minus zero.
        bits = losses.float().abs().view(torch.int32).to(torch.int64)
        ranks = (bits << 31) + numbers
        return _highest(matches, ranks, num_samples=self.num_samples, max_positive=self.max_positive)


def _highest(matches: Matches, ranks: Tensor, *, num_samples: int, max_positive: int) -> Sample:
    """The highest-ranking positives, up to a number, and the highest-ranking negatives for the rest.

    Args:
        matches: Of R candidates in each of N pictures.
        ranks: ``(N, R)`` int64 in ``0 .. 2**62 - 1``, all of a picture different.
        num_samples: Of each picture.
        max_positive: Most positives among them.
    """
    num_candidates = ranks.shape[1]
    # Chosen positives rank from 2**62, negatives from 0, all others are -1. The largest fill the slots.
    positive_ranks = torch.where(matches.is_positive, ranks + _LEAST_POSITIVE, -1)
    chosen_ranks, chosen = positive_ranks.topk(min(max_positive, num_candidates), dim=1)
    ranks = torch.where(matches.is_negative, ranks, -1).scatter_reduce_(1, chosen, chosen_ranks, "amax")
    ranks, index = ranks.topk(min(num_samples, num_candidates), dim=1)
    return Sample(index=index, is_positive=ranks >= _LEAST_POSITIVE, is_valid=ranks >= 0)
