"""Activation checkpointing that batch norms do not notice.

A segment whose activations are dropped runs a second time in the backward pass.  Its batch norms must
normalise by the same batch statistics again, but count the batch into their running statistics only once.
"""

from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def run_segment(segment: nn.Module, *inputs: Any, recompute: bool) -> Any:
    """Run part of a network; with ``recompute`` keep only its inputs and run it again in the backward pass.

    Outputs, gradients and running statistics are the same either way, bit by bit.  The segment must not draw
    random numbers.

    Returns:
        What ``segment(*inputs)`` returns.
    """
    if not recompute:
        return segment(*inputs)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), StatisticsHeld(segment)

    return checkpoint(segment, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


class StatisticsHeld(AbstractContextManager[None]):
    """While inside, a segment's batch norms use their batch's statistics but do not record them.

    They are given a momentum of zero and another counter; without running statistics altogether they would
    save other tensors for the backward pass than they did the first time.  A class and not a generator,
    because a graph that is kept for a second backward pass enters it again.
    """

    def __init__(self, segment: nn.Module) -> None:
        """Hold those of all batch norms inside a segment, of any kind."""
        # Their base class, that of torch.nn.SyncBatchNorm and of apex included.
        self._norms = [module for module in segment.modules() if isinstance(module, _BatchNorm)]

    def __enter__(self) -> None:
        self._held = [(norm.momentum, norm.num_batches_tracked) for norm in self._norms]
        for norm in self._norms:
            norm.momentum = 0.0
            if norm.num_batches_tracked is not None:
                norm.num_batches_tracked = norm.num_batches_tracked.clone()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for norm, (momentum, num_batches_tracked) in zip(self._norms, self._held, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, num_batches_tracked
