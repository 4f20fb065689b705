"""Messages between processes: counted as torch sees them, and what they cost by a simple model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

LATENCY_SECONDS: Mapping[str, float] = MappingProxyType({"NVLink": 25e-6, "InfiniBand": 46e-6, "TCP": 150e-6})
"""Published latencies of a small NCCL all-reduce, by connection: in a node of 8 GPUs, then between two."""

_NAMESPACES = ("c10d", "_c10d_functional")


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one process sends.

    Attributes:
        num_collectives: Exchanges in which all processes take part.
        num_bytes: What this process puts into them.
    """

    num_collectives: int
    num_bytes: int


class CountingMode(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch gives no types
    """While inside, sees every operator, whoever calls it, without the import of torch's whole compiler."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # torch gives no types

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch asks this when a class is made; if True, the first operator imports the compiler."""
        return False


class TrafficCounter(CountingMode):  # type: ignore[no-untyped-call] # torch gives no types
    """While inside, counts every collective, whoever calls it: they all pass torch's dispatcher.

    A backward pass that is started inside is counted too, on a GPU as well: autograd takes the mode along
    into the threads that it computes in.
    """

    def __init__(self) -> None:
        super().__init__()
        self._num_collectives = 0
        self._num_bytes = 0

    def traffic(self) -> Traffic:
        """What was counted so far."""
        return Traffic(self._num_collectives, self._num_bytes)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        arguments = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False))
        namespace, _, name = func._schema.name.partition("::")
        if namespace in _NAMESPACES and name != "wait_tensor":
            self._num_collectives += 1
            self._num_bytes += sum(tensor.nbytes for tensor in _sent(arguments))
        return func(*args, **(kwargs or {}))


def _sent(arguments: Mapping[str, Any]) -> list[Tensor]:
    """The tensors that a process gives to a collective, without those that it keeps ready for answers."""
    given = [value for name, value in arguments.items() if name.startswith("input")]
    if not given:
        given = [value for name, value in arguments.items() if name.startswith("tensor")]
    return [leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor)]


def waiting_seconds(num_collectives: int, *, latency_seconds: float) -> float:
    """What messages add to a step by a simple model: all processes wait for one after the other."""
    return num_collectives * latency_seconds
