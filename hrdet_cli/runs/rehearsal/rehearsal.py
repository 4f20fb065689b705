"""What is known of a run over many processes before any of them starts."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hrdet_cli.engine.benchmarking.epoch_layout import EpochLayout
from hrdet_cli.engine.benchmarking.rank_loads import RankLoad
from hrdet_cli.engine.benchmarking.step_model import BACKWARD_SHARE, Network, StepMessages, StepSeconds
from hrdet_cli.runs.plan import Plan
from hrdet_cli.specs.experiment import ExperimentSpec

_UNKNOWN_BANDWIDTH = (
    "what the gradients take is unknown without a bandwidth, and not counted: give --network "
    "LATENCY,BANDWIDTH such as 46us,20GB/s, or --network FILE of what hrdet doctor --json measured there"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Machines and what each has.

    Attributes:
        num_nodes: Machines.
        gpus_per_node: Processes of each.
    """

    num_nodes: int
    gpus_per_node: int

    @property
    def num_processes(self) -> int:
        """Over all nodes."""
        return self.num_nodes * self.gpus_per_node

    def __str__(self) -> str:
        return f"{self.num_nodes}x{self.gpus_per_node}"


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """What a run leaves on the disk.

    Attributes:
        num_bytes: Of one.
        num_kept: At the end: the last, the best, and those of epochs.
    """

    num_bytes: int
    num_kept: int


@dataclass(frozen=True, slots=True)
class Computing:
    """What a process computes, and how that is known.

    Attributes:
        seconds: Of a step with its batches on the largest canvas.
        source: How it is known, in words.
        peak_memory_bytes: Of the step that needs most.
        memory_source: Likewise in words.
    """

    seconds: float
    source: str
    peak_memory_bytes: int
    memory_source: str


@dataclass(frozen=True, slots=True)
class Modelled:
    """A step over a network, and what comes of it.

    Attributes:
        network: Between the processes.
        step: Seconds of a step.
        hours: Of the run; evaluation, reading and checkpoints are not counted.
    """

    network: Network
    step: StepSeconds
    hours: float

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {"network": asdict(self.network), "step_seconds": self.step.to_json(), "hours": self.hours}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """A run, planned.

    Attributes:
        shape: Where it is to run.
        plan: In numbers, for all processes.
        layout: Its first epoch.
        loads: The same by process.
        messages: Of a step.
        computing: Of a process.
        modelled: By network.
        checkpoints: On the disk.
    """

    shape: Shape
    plan: Plan
    layout: EpochLayout
    loads: tuple[RankLoad, ...]
    messages: StepMessages
    computing: Computing
    modelled: tuple[Modelled, ...]
    checkpoints: Checkpoints

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the figures rest on, a sentence each."""
        return (
            f"a process's batch: {self.computing.source}",
            f"memory: {self.computing.memory_source}",
            "a step is its slowest process's computation, a wait for each small message, and what is left of "
            f"the gradients' way behind the backward pass, which is {BACKWARD_SHARE:.0%} of the computation",
            "every epoch is laid out like the first; evaluation, reading and checkpoints are not counted",
            *([_UNKNOWN_BANDWIDTH] if any(one.step.gradients is None for one in self.modelled) else []),
        )

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "nodes": self.shape.num_nodes,
            "gpus_per_node": self.shape.gpus_per_node,
            "plan": self.plan.to_json(),
            "imbalance": self.layout.imbalance,
            "useful_pixel_share": self.layout.useful_pixel_share,
            "ranks": [load.to_json() for load in self.loads],
            "messages": asdict(self.messages),
            "computing": asdict(self.computing),
            "modelled": [one.to_json() for one in self.modelled],
            "checkpoints": asdict(self.checkpoints),
            "assumptions": list(self.assumptions),
        }


def num_kept_checkpoints(spec: ExperimentSpec, *, is_evaluated: bool) -> int:
    """Checkpoints at the end of a run: the last, the best of each kind of weights, and those of epochs."""
    of_epochs = spec.optimisation.num_epochs // spec.run.checkpoint_every_epochs
    if spec.run.num_epoch_checkpoints is not None:
        of_epochs = min(of_epochs, spec.run.num_epoch_checkpoints)
    best = (1 if spec.optimisation.ema is None else 2) if is_evaluated else 0
    return 1 + best + of_epochs


def least_and_most(loads: Sequence[RankLoad], name: str) -> tuple[RankLoad, RankLoad]:
    """The processes with the smallest and the largest number of a field."""
    ordered = sorted(loads, key=lambda load: (getattr(load, name), load.rank))
    return ordered[0], ordered[-1]


def hours_of(step_seconds: float, plan: Plan) -> float:
    """Of all steps of a run."""
    return step_seconds * plan.num_steps / 3600 if math.isfinite(step_seconds) else math.inf
