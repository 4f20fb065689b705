"""What one training step tells: losses, rate, speed, memory."""

import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from hrdet_cli.engine.data.batch import PictureFault
from hrdet_cli.engine.training.stragglers import Straggler

_TOLD_OTHERWISE = ("broken_pictures", "damaged_pictures", "lacks_next_batch", "stop_asked", "stragglers")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """One finished training step.

    Attributes:
        epoch: Epoch the step belongs to, counted from 1.
        step: Number of the step, counted from 1 over the whole run.
        learning_rate: Rate the step was made with, before the factors of parameter groups.
        loss: Sum of the loss parts.
        losses: Loss parts by name, means over all processes.
        gradient_norm: L2 norm of all gradients together, before clipping.
        num_images: Number of pictures in the step, over all processes.
        data_seconds: Time this process waited for its batch.
        step_seconds: Time from asking for the batch to the end of the step, waiting included.
        peak_memory_bytes: The most memory used so far, of a GPU as torch allocated it, else resident.
        broken_pictures: Pictures that could not be read and were replaced, on all processes.
        lacks_next_batch: Whether any process could not read its next batch, with which training ends; the
            same on every process.
        stop_asked: Whether any process was asked to stop; the same on every process.
        damaged_pictures: JPEGs with damaged pixels, on all processes; each process tells a picture only once.
        stragglers: Processes that are slower than the others from now on, or no longer are.
    """

    epoch: int
    step: int
    learning_rate: float
    loss: float
    losses: Mapping[str, float]
    gradient_norm: float
    num_images: int
    data_seconds: float
    step_seconds: float
    peak_memory_bytes: int
    broken_pictures: tuple[PictureFault, ...]
    lacks_next_batch: bool
    stop_asked: bool
    damaged_pictures: tuple[PictureFault, ...] = ()
    stragglers: tuple[Straggler, ...] = ()

    @property
    def images_per_second(self) -> float:
        """Pictures trained per second of `step_seconds`, over all processes."""
        return self.num_images / self.step_seconds

    def to_json(self) -> dict[str, object]:
        """What was measured as one flat JSON document, apart from ``losses``; a line of ``metrics.jsonl``."""
        measured = {name: value for name, value in asdict(self).items() if name not in _TOLD_OTHERWISE}
        return {
            **measured,
            "num_broken_pictures": len(self.broken_pictures),
            "images_per_second": self.images_per_second,
        }


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory used since `reset_peak_memory`: a GPU's as torch allocated it, else resident memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if (kibibytes := _peak_resident_kibibytes()) is not None:
        return kibibytes * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _peak_resident_kibibytes() -> int | None:
    """Of this process's own memory, as Linux counts it; None elsewhere.

    What ``getrusage`` tells is never less than the peak of the process that started this one, which stays
    with it from the ``exec`` on and cannot be forgotten.
    """
    with suppress(OSError):
        for line in Path("/proc/self/status").read_bytes().splitlines():
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1])
    return None


def resident_memory_bytes() -> int:
    """Memory of this process that lies in the machine's now; 0 outside Linux."""
    try:
        num_pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return num_pages * resource.getpagesize()


def reset_peak_memory(device: torch.device) -> bool:
    """Let `peak_memory_bytes` forget what was.

    Returns:
        Whether it has. Resident memory keeps its peak outside Linux, and where a kernel or a container does
        not let a process forget it.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return True
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True
