"""Whether what convolutions have read is still in memory."""

from collections.abc import Iterable

from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef


class KeptInputs:
    """Watches modules."""

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        """From now on, whatever these are called with."""
        self._memories: list[StorageWeakRef] = []
        for module in modules:
            module.register_forward_pre_hook(lambda _, inputs: self.watch(inputs[0]))

    def watch(self, tensor: Tensor) -> None:
        """One more."""
        memory = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]  # torch's
        self._memories.append(memory)

    @property
    def num_read(self) -> int:
        """How many inputs there were."""
        return len(self._memories)

    @property
    def num_kept(self) -> int:
        """Of how many the memory is still there."""
        return sum(not memory.expired() for memory in self._memories)  # type: ignore[no-untyped-call]  # torch's
