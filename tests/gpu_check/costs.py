"""What a training step costs, on a GPU or a CPU."""

import time
from dataclasses import dataclass

import torch

from hrdet_cli.engine.training.reports import peak_memory_bytes, reset_peak_memory
from tests.gpu_check.detectors import Step


@dataclass(frozen=True)
class Cost:
    """Of a step.

    Attributes:
        seconds: On the wall.
        cpu_seconds: Of the processor over all threads, which says more on a busy machine.
        peak_bytes: On a GPU the most that is allocated beyond what was before; on a CPU the most that the
            process has ever had.
    """

    seconds: float
    cpu_seconds: float
    peak_bytes: int


def cost_of(step: Step, device: torch.device) -> Cost:
    """Make one."""
    reset_peak_memory(device)
    _wait_for(device)
    held = torch.cuda.memory_allocated(device) if device.type == "cuda" else 0
    started, started_cpu = time.perf_counter(), time.process_time()
    step()
    _wait_for(device)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - started_cpu
    return Cost(seconds, cpu_seconds, peak_memory_bytes(device) - held)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
