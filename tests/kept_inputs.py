"""Whether what convolutions have read is still in memory."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef


class KeptInputs:
    """Watches modules."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        """From now on, whatever these are called with."""
        self._memories: list[Any] = []  # torch's references, which have no types
        for module in modules:
            module.register_forward_pre_hook(lambda _, inputs: self.watch(inputs[0]))

    def watch(self, tensor: Tensor) -> None:
        """One more."""
        storage = tensor.untyped_storage()
        self._memories.append(StorageWeakRef(storage))  # type: ignore[no-untyped-call]  # torch gives no types

    @property
    def num_read(self) -> int:
        """How many inputs there were."""
        return len(self._memories)

    @property
    def num_kept(self) -> int:
        """Of how many the memory is still there."""
        return sum(not memory.expired() for memory in self._memories)
