"""Gradients that are averaged over all processes while the backward pass computes others."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from hrdet_cli.engine.distributed.side_group import SideGroup, SumUnderWay
from hrdet_cli.engine.distributed.world import current_world

BUCKET_BYTES = 25 * 2**20
"""Large enough for the bandwidth of a network, small enough that little is left when the backward pass ends:
the default of torch's DistributedDataParallel (Li et al. 2020, PyTorch Distributed, section 4.2)."""


class GradientAverager:
    """Replaces the gradients of a backward pass by their means over all processes.

    They travel in *buckets*, one message each, in a group of their own.  Buckets are filled in the reverse of
    the parameters' order, which is about the order in which gradients come.  A bucket leaves when all its
    gradients are there and all buckets before it have left; what is left leaves when the backward pass ends.
    So all processes send the same messages in the same order, in whatever order autograd finds gradients.

    A gradient that a process does not have counts as zero there.  A parameter that has none on any process
    has none afterwards either, as in one process, and the optimiser leaves it alone.

    Built by all processes together; one process alone does nothing.

    Args:
        parameters: Those that train, the same on every process.
        bucket_bytes: A bucket is full when it has so many.

    Raises:
        LostProcessError: A process is gone.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], *, bucket_bytes: float = BUCKET_BYTES) -> None:
        self._buckets: list[_Bucket] = []
        self._sent: list[_Message] = []
        self._is_open = False
        if current_world().size == 1:
            return
        self._group = SideGroup(parameters[0].device)
        parts = divide_into_buckets(parameters, bucket_bytes=bucket_bytes)
        for number, part in enumerate(parts, start=1):
            bucket = _Bucket(part, f"average of the gradients, part {number} of {len(parts)}")
            self._buckets.append(bucket)
            for parameter in part:
                hook = partial(self._arrive, bucket)
                parameter.register_post_accumulate_grad_hook(hook)  # type: ignore[no-untyped-call]

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, one backward pass is made, from no gradients; afterwards they are the means.

        Raises:
            LostProcessError: A process is gone.
        """
        for bucket in self._buckets:
            bucket.num_missing = len(bucket.parameters)
        self._is_open = True
        try:
            yield
            for bucket in self._buckets[len(self._sent) :]:
                self._send(bucket)
            for message in self._sent:
                message.receive()
        finally:
            self._is_open = False
            self._sent.clear()

    def _arrive(self, bucket: "_Bucket", _: Tensor) -> None:
        """Called for each parameter when its gradient is complete."""
        if not self._is_open:  # the backward pass of somebody else
            return
        bucket.num_missing -= 1
        while len(self._sent) < len(self._buckets) and not self._buckets[len(self._sent)].num_missing:
            self._send(self._buckets[len(self._sent)])

    @torch.no_grad()
    def _send(self, bucket: "_Bucket") -> None:
        """Take a bucket's gradients away and send them."""
        gradients = [parameter.grad for parameter in bucket.parameters]
        lacking = [index for index, gradient in enumerate(gradients) if gradient is None]
        is_there = bucket.parameters[0].new_ones(len(gradients))
        for index in lacking:
            is_there[index].zero_()
        pieces = [
            _in_memory_order(torch.zeros_like(parameter) if gradient is None else gradient)
            for parameter, gradient in zip(bucket.parameters, gradients, strict=True)
        ]
        content = torch.cat([*pieces, is_there])
        for parameter in bucket.parameters:
            parameter.grad = None
        total = self._group.start_sum(content, what=bucket.what)
        self._sent.append(_Message(bucket.parameters, lacking, content, total))


def divide_into_buckets(
    parameters: Sequence[nn.Parameter], *, bucket_bytes: float
) -> list[list[nn.Parameter]]:
    """Divide parameters, the last one first, into buckets of at least so many bytes, except for the last.

    Those of a bucket have one dtype.
    """
    buckets: list[list[nn.Parameter]] = []
    for parameter in reversed(parameters):
        if (
            not buckets
            or sum(other.nbytes for other in buckets[-1]) >= bucket_bytes
            or buckets[-1][-1].dtype != parameter.dtype
        ):
            buckets.append([])
        buckets[-1].append(parameter)
    return buckets


@dataclass(slots=True)
class _Bucket:
    """Parameters whose gradients travel together.

    Attributes:
        parameters: All of them.
        what: The exchange, in words.
        num_missing: How many have no gradient yet.
    """

    parameters: Sequence[nn.Parameter]
    what: str
    num_missing: int = 0


@dataclass(frozen=True, slots=True)
class _Message:
    """A bucket's gradients on their way.

    Attributes:
        parameters: Whose.
        lacking: Indices of those that have none on this process.
        content: All gradients end to end, and then for each a one, or a zero where it is lacking.
        total: Becomes the content.
    """

    parameters: Sequence[nn.Parameter]
    lacking: Sequence[int]
    content: Tensor
    total: SumUnderWay

    @torch.no_grad()
    def receive(self) -> None:
        """Give every parameter its mean: a part of the message, in the layout of the parameter."""
        self.total.wait()
        sizes = [parameter.numel() for parameter in self.parameters]
        *means, shares = torch.split(self.content.div_(current_world().size), [*sizes, len(sizes)])
        for parameter, mean in zip(self.parameters, means, strict=True):
            parameter.grad = mean.as_strided(parameter.shape, parameter.stride())
        if self.lacking:  # a wait for the device, where a part of the network is not always used
            share_by_index = shares.tolist()
            for index in self.lacking:
                if share_by_index[index] == 0:
                    self.parameters[index].grad = None


def _in_memory_order(dense: Tensor) -> Tensor:
    """All elements as a vector, without a copy: autograd lays gradients out as their parameters are."""
    return dense.as_strided((dense.numel(),), (1,))
