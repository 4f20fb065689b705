"""A training step that leaves no trace, to find out what it costs and whether it fits into memory."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hrdet_cli.engine.training.host_copy import copy_to_host
from hrdet_cli.engine.training.optimiser import load_optimiser_state
from hrdet_cli.engine.training.reports import peak_memory_bytes, reset_peak_memory

_SIGNS_OF_FULL_MEMORY = (
    "can't allocate memory",
    "CUDA error: out of memory",
    "Triton Error [CUDA]: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "less than INT_MAX elements",  # as some of torch's kernels want it, whatever the memory
)


@dataclass(frozen=True, slots=True)
class StepCost:
    """What a step took.

    Attributes:
        seconds: From the batch in host memory to the changed weights.
        peak_memory_bytes: The most memory used meanwhile; see `peak_memory_bytes`.
    """

    seconds: float
    peak_memory_bytes: int


class Snapshot:
    """A model, its optimiser and torch's generators as they are now, in host memory.

    What else is drawn in a run comes from generators without a state.

    Args:
        model: Parameters and buffers are kept.
        optimiser: Its state and its settings, such as the learning rate, are kept.
        device: Where they are.
    """

    def __init__(self, model: nn.Module, optimiser: torch.optim.Optimizer, device: torch.device) -> None:
        self._optimiser = optimiser
        self._device = device
        self._tensors: list[tuple[Tensor, Tensor]] = [
            (tensor, copy_to_host(tensor)) for tensor in (*model.parameters(), *model.buffers())
        ]
        self._optimiser_state = copy_to_host(optimiser.state_dict())
        self._generator_state = torch.get_rng_state()
        self._gpu_generator_state = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back bit for bit; there are no gradients afterwards."""
        for tensor, kept in self._tensors:
            tensor.copy_(kept)
        self._optimiser.zero_grad(set_to_none=True)
        load_optimiser_state(self._optimiser, self._optimiser_state)
        torch.set_rng_state(self._generator_state)
        if self._gpu_generator_state is not None:
            torch.cuda.set_rng_state(self._gpu_generator_state, self._device)


def make_state(optimiser: torch.optim.Optimizer) -> None:
    """Have an optimiser make the state that it makes in its first step, by a step without gradient.

    From the second step of a run on, the state lies in memory beside what the backward pass needs.
    """
    for group in optimiser.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def measure(work: Callable[[], object], device: torch.device) -> StepCost:
    """Do something on a device and wait until it is done."""
    _wait_for(device)
    reset_peak_memory(device)
    started = time.perf_counter()
    work()
    _wait_for(device)
    cost = StepCost(time.perf_counter() - started, peak_memory_bytes(device))
    reset_peak_memory(device)
    return cost


def fits_into_memory(work: Callable[[], object]) -> bool:
    """Whether something can be done with the memory there is; frees what is left of it where it cannot."""
    try:
        work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    else:
        return True
    release_memory()  # only now: the traceback held the tensors of the step
    return False


def release_memory() -> None:
    """Give back what nothing refers to any more, to those who allocate without torch, too."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def is_out_of_memory(error: Exception) -> bool:
    """Whether something is too large for the memory, or for a kernel: often there are only words to tell."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(sign in str(error) for sign in _SIGNS_OF_FULL_MEMORY)


def largest_fitting(fits: Callable[[int], bool], *, most: int) -> int:
    """The largest number that fits, by doubling and then halving the gap.

    Args:
        fits: Whether a number does; where one does, all smaller ones do.
        most: Larger numbers are not tried; at least 1.

    Returns:
        In ``0 .. most``; 0 where not even 1 fits.
    """
    fitting, next_number = 0, 1
    while fits(next_number):
        fitting = next_number
        if fitting == most:
            return most
        next_number = min(2 * fitting, most)
    too_many = next_number
    while too_many - fitting > 1:
        middle = (fitting + too_many) // 2
        if fits(middle):
            fitting = middle
        else:
            too_many = middle
    return fitting


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
