"""What a step over many processes would take, by a model of few numbers; knows no torch.

A step is its slowest process's computation, a wait for each small message, and what is left of the gradients'
way when the backward pass is over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hrdet_cli.engine.benchmarking.epoch_layout import EpochLayout
from hrdet_cli.engine.geometry import Size

BACKWARD_SHARE = 0.62
"""Of a step's computation, as measured of the demo on a CPU; for convolutions alone it is two thirds."""


@dataclass(frozen=True, slots=True)
class Network:
    """What connects the processes.

    Attributes:
        name: In words.
        latency_seconds: Of an all-reduce of a few kilobytes over all processes.
        bytes_per_second: Size of a large all-reduce by its time; None where nobody knows.
    """

    name: str
    latency_seconds: float
    bytes_per_second: float | None


@dataclass(frozen=True, slots=True)
class StepMessages:
    """What each process sends in a step.

    Attributes:
        num_small: Messages that everybody waits for: of norms, denominators and losses.
        small_bytes: Of all of them.
        gradient_bytes: Of the gradients' buckets, in their order; the last one leaves when the backward pass
            ends.
    """

    num_small: int
    small_bytes: int
    gradient_bytes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StepSeconds:
    """Means over the steps of an epoch.

    Attributes:
        computing: Of a step's mean process.
        imbalance: What its slowest process takes longer, for which all wait.
        messages: Waits for small messages.
        gradients: What is left of the gradients' way after the backward pass; None where nobody knows the
            bandwidth.
    """

    computing: float
    imbalance: float
    messages: float
    gradients: float | None

    @property
    def total(self) -> float:
        """Of a step, as far as it is known."""
        return self.computing + self.imbalance + self.messages + (self.gradients or 0.0)

    @property
    def efficiency(self) -> float:
        """Share of the step in which the mean process computes."""
        return self.computing / self.total

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {**asdict(self), "total": self.total, "efficiency": self.efficiency}


def model_step(
    layout: EpochLayout, seconds: Mapping[Size, float], messages: StepMessages, network: Network
) -> StepSeconds:
    """What the steps of an epoch take.

    Args:
        layout: The canvases of every process in every step.
        seconds: That a process computes for a step with its batches on each canvas.
        messages: Of a step.
        network: Between the processes.
    """
    of_steps = [[seconds[canvas] for canvas in step] for step in layout.canvases]
    means = [sum(step) / len(step) for step in of_steps]
    slowest = [max(step) for step in of_steps]
    computing = sum(means) / len(means)
    return StepSeconds(
        computing=computing,
        imbalance=sum(slowest) / len(slowest) - computing,
        messages=messages.num_small * network.latency_seconds,
        gradients=_left_over(slowest, messages.gradient_bytes, network),
    )


def _left_over(slowest: Sequence[float], gradient_bytes: Sequence[int], network: Network) -> float | None:
    """Buckets travel one behind the other while the backward pass goes on, but for the last."""
    if network.bytes_per_second is None:
        return None
    times = [network.latency_seconds + size / network.bytes_per_second for size in gradient_bytes]
    left = [max(times[-1], sum(times) - BACKWARD_SHARE * computing) for computing in slowest]
    return sum(left) / len(left)
