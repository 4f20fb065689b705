"""Activation checkpointing that batch norms do not notice.

A segment whose activations are dropped runs a second time in the backward pass. Its batch norms must
normalise by the same batch statistics again, but count the batch into their running statistics only once.
The first pass leaves to the second the statistics for which our own norms would ask other processes, and,
where that is wanted, what convolutions put out: of all activations those that cost the most to compute again.
With these it leaves the statistics of torch's own norms, too.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

Recomputation = Literal["off", "norms", "modules"]
"""What of a segment runs again: nothing, all but its convolutions, or all."""

_OF_CONVOLUTIONS = "torchvision"
"""The namespace of deformable ones, the only operators of it that segments have."""


def run_segment(
    segment: Callable[..., Any],
    *inputs: Any,
    recompute: Recomputation,
    parts: Sequence[nn.Module] | None = None,
) -> Any:
    """Run part of a network; where it is recomputed keep little of it, and run it again in the backward pass.

    Outputs, gradients and running statistics are the same either way, bit by bit. The segment must not draw
    random numbers, nor change in place what a convolution puts out.

    Args:
        segment: What is run.
        inputs: What it is given, which is kept.
        recompute: ``"modules"`` keeps nothing else, ``"norms"`` what convolutions put out and the few numbers
            that norms divide by.
        parts: Modules whose batch norms the segment applies; None if it is a module itself.

    Returns:
        What ``segment(*inputs)`` returns.
    """
    if recompute == "off":
        return segment(*inputs)
    held: Sequence[nn.Module] = parts or ()
    if parts is None and isinstance(segment, nn.Module):
        held = (segment,)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        found = _Found(keeps_outputs=recompute == "norms")
        return _first_pass(found), _EnteredAnew(partial(_second_pass, found, held))

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
class _Found:
    """What the first pass through a segment leaves to the second one, in order.

    Attributes:
        keeps_outputs: Whether those of operators are left.
        outputs: These: a convolution's; of torch's batch norm mean and inverse deviation.
        batches: Statistics of batches that our own norms normalise by.
    """

    keeps_outputs: bool
    outputs: list[Any] = field(default_factory=list)
    batches: list[Any] = field(default_factory=list)


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
def _first_pass(found: _Found) -> Iterator[None]:
    _BATCHES.noted = found.batches
    try:
        with ExitStack() as stack:
            if found.keeps_outputs:
                stack.enter_context(_KeptOutputs(found.outputs))
            yield
    finally:
        _BATCHES.noted = None


@contextmanager
def _second_pass(found: _Found, parts: Sequence[nn.Module]) -> Iterator[None]:
    _BATCHES.left = iter(found.batches)
    try:
        with ExitStack() as stack:
            stack.enter_context(StatisticsHeld(*parts))
            if found.keeps_outputs:
                stack.enter_context(_RepeatedOutputs(found.outputs))
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


class _KeptOutputs(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch gives no types
    """While inside, what convolutions put out is noted, and what batch norms find."""

    def __init__(self, outputs: list[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives no types
        self._outputs = outputs

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        output = func(*args, **(kwargs or {}))
        if _is_convolution(func):
            self._outputs.append(output.detach())
        elif _takes_statistics_on_cpu(func, args):
            self._outputs.append(output[1:])
        return output


class _RepeatedOutputs(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch gives no types
    """While inside, convolutions put out what was noted and compute nothing, and batch norms know theirs."""

    def __init__(self, outputs: Sequence[Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch gives no types
        self._left = iter(outputs)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if _is_convolution(func):
            return next(self._left).detach()
        if _takes_statistics_on_cpu(func, args):
            return _normalised_again(*args[:3], *next(self._left))
        return func(*args, **(kwargs or {}))


def _is_convolution(func: Any) -> bool:
    return func is torch.ops.aten.convolution.default or func.namespace == _OF_CONVOLUTIONS


def _takes_statistics_on_cpu(func: Any, args: tuple[Any, ...]) -> bool:
    """Whether it is a batch norm by the statistics of its input; on CUDA torch's kernels round otherwise."""
    if func is not torch.ops.aten.native_batch_norm.default:
        return False
    features, *_, is_in_training, _momentum, _eps = args
    return bool(is_in_training) and features.device.type == "cpu"


def _normalised_again(
    features: Tensor, weight: Tensor | None, bias: Tensor | None, mean: Tensor, inverse_std: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What torch's batch norm put out on a CPU when it found these statistics, bit by bit.

    Its kernel for contiguous features, as convolutions put them out, multiplies the weight by the inverse
    deviation before all else. So a weight that has been multiplied, and a variance of one, lead to the same.
    """
    factor = inverse_std if weight is None else inverse_std * weight
    known = (factor, bias, mean, torch.ones_like(mean))
    output, _, _ = torch.native_batch_norm(features, *known, training=False, momentum=0.0, eps=0.0)
    return output, mean, inverse_std
