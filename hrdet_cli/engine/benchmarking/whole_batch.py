"""The exact result: one process holds the pictures of all, and one BatchNorm sees the pixels of all.

Pictures of different sizes do not fit into one tensor, so each process's pictures go through the network in a
thread of their own.  At every norm the threads wait for each other; the pixels of all are laid end to end and
go through torch's own batch norm.  No formula here knows of processes or counts, and the gradient is
autograd's.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Features = tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a training step computes.

    Attributes:
        loss: Of the whole batch.
        gradients: Gradient of each parameter, by its name.
    """

    loss: float
    gradients: dict[str, Tensor]


def step_on_whole_batch(
    network: nn.Module, parts: Sequence[Tensor], loss: Callable[[Features], Tensor]
) -> StepResult:
    """Forward and backward pass of several pictures at once, normalised by their common statistics.

    Args:
        network: Has plain :class:`torch.nn.BatchNorm2d` norms, which are replaced in place.
        parts: ``(N, 3, H, W)`` each, of any sizes.
        loss: A part's loss, from what the network returns for it; the step's loss is their sum.

    Raises:
        Exception: What the network or the loss raised for any part.
    """
    meeting = _Meeting(len(parts))
    for path, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            network.set_submodule(path, _MeetingNorm(module, meeting))

    def run_part(index: int) -> Tensor:
        try:
            meeting.take_seat(index)
            part: Tensor = loss(network(parts[index]))
            return part
        except BaseException:
            meeting.break_up()
            raise

    with ThreadPoolExecutor(max_workers=len(parts)) as pool:
        losses = [pool.submit(run_part, index) for index in range(len(parts))]
    errors = [error for error in (future.exception() for future in losses) if error is not None]
    for error in sorted(errors, key=lambda error: isinstance(error, threading.BrokenBarrierError)):
        raise error  # the cause; the others only found the meeting broken up
    total = torch.stack([future.result() for future in losses]).sum()
    names, parameters = zip(*network.named_parameters(), strict=True)
    return StepResult(total.item(), dict(zip(names, torch.autograd.grad(total, parameters), strict=True)))


class _Meeting:
    """Where all threads bring their part of a norm's input, and find their part of its output."""

    def __init__(self, num_parts: int) -> None:
        self._brought: dict[int, tuple[_MeetingNorm, Tensor]] = {}
        self._outputs: list[Tensor] = []
        self._seat = threading.local()
        self._barrier = threading.Barrier(num_parts, action=self._normalise_all)

    def take_seat(self, index: int) -> None:
        """Says which part the calling thread has."""
        self._seat.index = index

    def break_up(self) -> None:
        """Sends all threads home: without the one that failed they would wait for ever."""
        self._barrier.abort()

    def normalise(self, norm: "_MeetingNorm", features: Tensor) -> Tensor:
        """Called by every thread for the same norm; the last to come does the work."""
        index: int = self._seat.index
        self._brought[index] = (norm, features)
        self._barrier.wait()
        return self._outputs[index]

    def _normalise_all(self) -> None:
        norm = self._brought[0][0]
        inputs = [self._brought[index][1] for index in range(len(self._brought))]
        channels = inputs[0].shape[1]
        rows = [x.transpose(0, 1).reshape(1, channels, -1, 1) for x in inputs]
        whole = F.batch_norm(
            torch.cat(rows, dim=2), None, None, norm.weight, norm.bias, training=True, eps=norm.eps
        )
        parts = torch.split(whole, [row.shape[2] for row in rows], dim=2)
        # Copies, because networks change what a norm returns in place, and these are views of one tensor.
        self._outputs = [
            part.reshape(channels, x.shape[0], *x.shape[2:]).transpose(0, 1).clone()
            for part, x in zip(parts, inputs, strict=True)
        ]


class _MeetingNorm(nn.Module):
    """A norm that leaves the arithmetic to the meeting; parameters keep their names."""

    def __init__(self, norm: nn.BatchNorm2d, meeting: _Meeting) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = norm.weight, norm.bias, norm.eps
        self._meeting = meeting

    def forward(self, features: Tensor) -> Tensor:
        return self._meeting.normalise(self, features)
