"""Activation checkpointing that batch norms do not notice.

A segment whose activations are dropped runs a second time in the backward pass. Its batch norms must
normalise by the same batch statistics again, but count the batch into their running statistics only once.
The first pass leaves to the second the statistics for which our own norms would ask other processes.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from hrdet_cli.engine.norm.remade import made_again

Recomputation = Literal["off", "norms", "modules"]
"""What of a segment is computed again: nothing, what its norms put out and what comes of that, or all."""


def run_segment(
    segment: Callable[..., Any],
    *inputs: Any,
    recompute: Recomputation,
    parts: Sequence[nn.Module] | None = None,
) -> Any:
    """Run part of a network; where it is recomputed keep little of it, and compute it in the backward pass.

    Outputs, gradients and running statistics are the same either way, bit by bit. The segment must not draw
    random numbers.

    Args:
        segment: What is run.
        inputs: What it is given, which is kept.
        recompute: ``"modules"`` keeps nothing else, ``"norms"`` what norms are given (:mod:`.remade`).
        parts: Modules whose batch norms the segment applies; None if it is a module itself.

    Returns:
        What ``segment(*inputs)`` returns.
    """
    if recompute == "off" or not torch.is_grad_enabled():
        return segment(*inputs)
    if recompute == "norms":
        with made_again():
            return segment(*inputs)
    held: Sequence[nn.Module] = parts or ()
    if parts is None and isinstance(segment, nn.Module):
        held = (segment,)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        batches: list[Any] = []
        return _first_pass(batches), _EnteredAnew(partial(_second_pass, batches, held))

    return checkpoint(segment, *inputs, use_reentrant=False, preserve_rng_state=False, context_fn=contexts)


class StatisticsHeld(AbstractContextManager[None]):
    """While inside, modules' batch norms use their batch's statistics but do not record them.

    They are given a momentum of zero and another counter; without running statistics altogether they would
    save other tensors for the backward pass than they did the first time.
    """

    def __init__(self, *modules: nn.Module) -> None:
        """Hold those of all batch norms inside modules, of any kind."""
        # Their base class, that of torch.nn.SyncBatchNorm and of apex included.
        parts = (part for module in modules for part in module.modules())
        self._norms = [part for part in parts if isinstance(part, _BatchNorm)]

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


@dataclass(slots=True)
class _Batches:
    """Where statistics of batches go to in a first pass, and come from in a second; read by any thread."""

    noted: list[Any] | None = None
    left: Iterator[Any] | None = None


_BATCHES = _Batches()


def note_batch(statistics: object) -> None:
    """Leave the statistics of a batch to the second pass, if there is to be one."""
    if _BATCHES.noted is not None:
        _BATCHES.noted.append(statistics)


def noted_batch() -> Any:
    """Those of the next batch in a second pass; None in any other."""
    return None if _BATCHES.left is None else next(_BATCHES.left)


@contextmanager
def _first_pass(batches: list[Any]) -> Iterator[None]:
    _BATCHES.noted = batches
    try:
        yield
    finally:
        _BATCHES.noted = None


@contextmanager
def _second_pass(batches: Sequence[Any], parts: Sequence[nn.Module]) -> Iterator[None]:
    _BATCHES.left = iter(batches)
    try:
        with StatisticsHeld(*parts):
            yield
    finally:
        _BATCHES.left = None


class _EnteredAnew(AbstractContextManager[None]):
    """A context that can be entered again, as by a graph that is kept for a second backward pass."""

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make

    def __enter__(self) -> None:
        self._context = self._make()
        self._context.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._context.__exit__(kind, error, trace)
