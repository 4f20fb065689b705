"""Padding policies side by side, and which one to take."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from hrdet_cli.engine.geometry import Size
from hrdet_cli.runs.benchmark_pad.policies import Policy

ALIKE = 0.03
"""Policies whose hours, or useful pixels, differ by less than this share count as equal."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Pictures a second, over several repetitions."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, rates: Sequence[float]) -> "Rate":
        """The summary of all repetitions."""
        return cls(median(rates), min(rates), max(rates))

    @property
    def ends(self) -> tuple[float, float] | None:
        """The least and the most; None where nothing varies, as in one repetition."""
        return (self.least, self.most) if self.least < self.most else None


@dataclass(frozen=True, slots=True)
class TrainingCost:
    """What training steps take under a policy.

    Attributes:
        rate: Pictures a second in one process, forward, backward and update, without waiting for data.
        peak_memory_bytes: Of the largest step with the most boxes: of the GPU, or else resident.
        hours_per_epoch: See `PaddingComparison`.
        is_data_bound: Reading takes longer than training, so the hours are those of the reading.
    """

    rate: Rate
    peak_memory_bytes: int
    hours_per_epoch: float
    is_data_bound: bool


@dataclass(frozen=True, slots=True)
class PolicyCost:
    """One policy's figures.

    Attributes:
        policy: The policy.
        useful_pixel_share: Share of the pixels of an epoch's batches that belong to a picture.
        canvas_shares: Each canvas and the share of the epoch's batches that lie on it, the largest first.
        imbalance: Pixels of a step's largest batch over those of its mean batch; 1 is none.
        data_rate: Pictures a second that one worker reads, resizes and pads.
        training: None where it was left out.
    """

    policy: Policy
    useful_pixel_share: float
    canvas_shares: tuple[tuple[Size, float], ...]
    imbalance: float
    data_rate: Rate
    training: TrainingCost | None

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "name": self.policy.name,
            "settings": list(self.policy.settings),
            "is_own": self.policy.is_own,
            "padding": self.policy.padding.model_dump(mode="json"),
            "useful_pixel_share": self.useful_pixel_share,
            "num_canvases": len(self.canvas_shares),
            "canvas_shares": {str(canvas): share for canvas, share in self.canvas_shares},
            "imbalance": self.imbalance,
            "data_images_per_second": asdict(self.data_rate),
            "training": None if self.training is None else asdict(self.training),
        }


@dataclass(frozen=True, slots=True)
class Origin:
    """What was measured where and when.

    Attributes:
        host: The machine.
        finished: In ISO 8601, by UTC.
        data_fingerprint: Of the training annotations.
        spec: As it was measured, in plain types: not compiled, a batch a step.
    """

    host: str
    finished: str
    data_fingerprint: str
    spec: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PaddingComparison:
    """Policies measured in turn, so that a machine's moods hit all alike.

    An epoch's hours are those of its steps, each as long as its slowest process takes for its canvas; or,
    where that is more, those of reading its pictures, shared among the workers.  Without workers both add up.

    Attributes:
        device: Where it was measured.
        num_repetitions: Each median is of so many.
        num_pictures: In the batch of one process.
        num_processes: Over which an epoch is shared out, for everything but the imbalance.
        num_imbalanced: The same for the imbalance.
        num_workers: Of each process.
        costs: One for each policy, the spec's own among them.
        origin: By which `hrdet train --dry-run` knows whether the hours are those of a run.
    """

    device: str
    num_repetitions: int
    num_pictures: int
    num_processes: int
    num_imbalanced: int
    num_workers: int
    costs: tuple[PolicyCost, ...]
    origin: Origin

    @property
    def conditions(self) -> str:
        """Where and how it was measured, in words."""
        repetitions = counted(self.num_repetitions, "repetition")
        return (
            f"{counted(self.num_pictures, 'picture')} a step in {counted(self.num_processes, 'process')}, "
            f"on {self.device}; "
            + (repetitions if self.num_repetitions == 1 else f"medians of {repetitions}")
        )

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        advice = advise(self.costs)
        return {
            **asdict(self.origin),
            "device": self.device,
            "num_repetitions": self.num_repetitions,
            "batch_size_per_process": self.num_pictures,
            "num_processes": self.num_processes,
            "num_processes_of_imbalance": self.num_imbalanced,
            "num_workers": self.num_workers,
            "policies": [cost.to_json() for cost in self.costs],
            "recommendation": {
                "name": advice.cost.policy.name,
                "options": advice.cost.policy.options,
                "reason": advice.reason,
            },
        }


@dataclass(frozen=True, slots=True)
class Advice:
    """Which policy to take, and why, in words that follow its name."""

    cost: PolicyCost
    reason: str


def rule_of(costs: Sequence[PolicyCost]) -> str:
    """The rule that `advise` follows, in words."""
    what = "the most useful pixels" if costs[0].training is None else "the fewest hours an epoch"
    return (
        f"{what}; within {ALIKE:.0%} all count as equal, and then the spec's own policy, or else the fewest "
        "shapes"
    )


def advise(costs: Sequence[PolicyCost]) -> Advice:
    """Choose a policy by `rule_of`.

    Args:
        costs: Of all policies, the spec's own among them.
    """
    own = next(cost for cost in costs if cost.policy.is_own)
    if len(costs) == 1:
        return Advice(own, f"only {own.policy.name} was measured; nothing to compare")
    least = min(map(_burden, costs))
    equals = [cost for cost in costs if _burden(cost) <= least * (1 + ALIKE)]
    chosen = min(equals, key=lambda cost: (not cost.policy.is_own, len(cost.canvas_shares)))
    if chosen is own:
        reason = f"nothing else gains more than {ALIKE:.0%}"
    else:
        gain = 1 - _burden(chosen) / _burden(own)
        less = "fewer pixels" if chosen.training is None else "less time"
        reason = f"{_describe(chosen)}, {gain:.0%} {less} than {own.policy.name}, the spec's own"
    return Advice(chosen, reason + _doubt(chosen, own))


def _doubt(chosen: PolicyCost, own: PolicyCost) -> str:
    """What speaks against a choice, and what to do; nothing where pixels were counted, which never vary."""
    if chosen.training is None or own.training is None:
        return ""
    if chosen.training.rate.ends is None:
        doubt = "one repetition has no spread"
    elif chosen is not own and chosen.training.rate.least <= own.training.rate.most:
        doubt = "their spreads overlap"
    else:
        return ""
    return f"; {doubt}, so ask for more --repetitions"


def _burden(cost: PolicyCost) -> float:
    """What is to be small: hours, or without them pixels for each useful one."""
    return 1 / cost.useful_pixel_share if cost.training is None else cost.training.hours_per_epoch


def _describe(cost: PolicyCost) -> str:
    if cost.training is None:
        return f"{cost.useful_pixel_share:.1%} useful pixels"
    return f"{format_hours(cost.training.hours_per_epoch)} h an epoch"


def counted(number: int, noun: str) -> str:
    """A number and what it counts."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{'' if number == 1 else plural}"


def format_hours(hours: float) -> str:
    """Three digits that count."""
    digits = max(0, 2 - math.floor(math.log10(hours)))
    return f"{hours:.{digits}f}"
