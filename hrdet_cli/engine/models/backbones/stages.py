"""Stages of a backbone: which there are, and how the first ones are frozen."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from torch import nn

from hrdet_cli.engine.norm.convert import convert_norm


@runtime_checkable
class Staged(Protocol):
    """A backbone that says what its stages are."""

    @property
    def stages(self) -> Sequence[Sequence[nn.Module]]:
        """The parts of each of its stages, the first with the stem, each with what leads to it."""


def freeze_stages(network: nn.Module, stages: Sequence[Sequence[nn.Module]], *, num_frozen: int) -> None:
    """Freeze a backbone's first stages: no gradient, and norms that keep their statistics in training mode.

    Norms stay fixed whatever kind the network is converted to later, see
    :func:`hrdet_cli.engine.norm.convert.convert_norm`.

    Args:
        network: The backbone, with plain batch norms.
        stages: The parts of each of its stages, the first with the stem.
        num_frozen: How many of them; 0 leaves the network as it is.

    Raises:
        ValueError: There are not so many.
    """
    if not 0 <= num_frozen <= len(stages):
        raise ValueError(f"frozen_stages must be in 0..{len(stages)}, not {num_frozen}")
    if num_frozen == 0:
        return
    for stage in stages[:num_frozen]:
        for part in stage:
            part.requires_grad_(False)
    convert_norm(network, kind="batch")
