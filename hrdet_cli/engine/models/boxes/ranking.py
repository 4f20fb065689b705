"""The best of many scores, in an order that the canvas has no part in."""

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.arithmetic import take_rows

_MAGNITUDE_BITS = 2**31 - 1


def best_columns(scores: Tensor, count: int | torch.SymInt) -> tuple[Tensor, Tensor]:
    """The highest scores of each picture and their columns; of equal ones the first, on every canvas.

    Args:
        scores: ``(N, R)``.
        count: At most R; a symbol while a detector is exported for all canvases.

    Returns:
        Two of ``(N, count)``, best first.
    """
    if scores.dtype != torch.float32 or torch.compiler.is_exporting():
        ordered, columns = scores.sort(dim=1, descending=True, stable=True)
        return ordered[:, :count], columns[:, :count]
    # A sort of all is ten times the work. Numbers of which no two are the same have one order alone.
    bits = (scores + 0.0).view(torch.int32)  # of minus zero those of zero
    ranks = (bits ^ (bits >> 31 & _MAGNITUDE_BITS)).to(torch.int64) << 32  # as integers in the same order
    columns = (ranks - torch.arange(scores.shape[1], device=scores.device)).topk(count, dim=1).indices
    return scores.gather(1, columns), columns


def best_pairs(scores: Tensor, is_candidate: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The best pairs of a place and a class in each picture.

    A place with one of the ``count`` best pairs is one of the ``count`` best places by its best class.  So
    places are sorted first, and pairs only of those.

    Args:
        scores: ``(N, A, K)``, of any monotonous kind.
        is_candidate: ``(N, A)`` bool; the others have no pairs.
        count: How many; if several are equal to the last one, all of them.

    Returns:
        Which places, ``(N, R)`` int64 with R = ``min(count, A)``, best first; which of their classes are
        among the best pairs, ``(N, R, K)`` bool.
    """
    of_best_class = scores.amax(dim=-1).where(is_candidate, -torch.inf)
    _, places = best_columns(of_best_class, torch.sym_min(count, scores.shape[1]))
    chosen = take_rows(scores, places).where(take_rows(is_candidate, places)[..., None], -torch.inf)
    pairs = chosen.flatten(1)
    ordered, _ = best_columns(pairs, torch.sym_min(count, pairs.shape[1]))
    last = ordered[:, -1:, None]
    return places, (chosen >= last) & (chosen > -torch.inf)
