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
        num_candidates = matches.is_positive.shape[1]
        bits = bits_from_keys(keys, counters=numbers, stream=self.stream)
        # 62 bits, of which the lower half makes all different: nothing is left to the order of equals.
        draws = (bits >> 1 << 31) + numbers
        num_positive = min(self.max_positive, num_candidates)
        # Ranks: chosen positives from 2**62, negatives from 0, all others -1. The largest fill the slots.
        positive_ranks = torch.where(matches.is_positive, draws + _LEAST_POSITIVE, -1)
        chosen_ranks, chosen = positive_ranks.topk(num_positive, dim=1)
        ranks = torch.where(matches.is_negative, draws, -1).scatter_reduce_(1, chosen, chosen_ranks, "amax")
        ranks, index = ranks.topk(min(self.num_samples, num_candidates), dim=1)
        return Sample(index=index, is_positive=ranks >= _LEAST_POSITIVE, is_valid=ranks >= 0)
