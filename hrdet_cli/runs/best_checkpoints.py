"""Which checkpoints of a run are the best, and by what."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hrdet_cli.engine.evaluation.comparison import Task
from hrdet_cli.runs.best_by import NAME_OF_NUMBER, BestBy
from hrdet_cli.runs.events import EvaluatedWeights
from hrdet_cli.runs.run_folder import RunFolder

_NUMBERS: Mapping[Literal["box", "mask", "recall"], tuple[Task, str]] = {
    "box": ("box", "AP"),
    "mask": ("mask", "AP"),
    "recall": ("box", "AR1000"),
}
"""The number of an evaluation that decides, by what the best checkpoint is chosen by, but for the loss."""

_KEYS: Mapping[str, tuple[EvaluatedWeights, BestBy]] = {
    "best_box_ap": ("raw", "box"),
    "best_ema_box_ap": ("ema", "box"),
    "best_mask_ap": ("raw", "mask"),
    "best_ema_mask_ap": ("ema", "mask"),
    "best_recall": ("raw", "recall"),
    "best_ema_recall": ("ema", "recall"),
    "best_loss": ("raw", "loss"),
    "best_ema_loss": ("ema", "loss"),
}
"""Entries of a checkpoint; those of masks, of recall and of the loss are missing in older ones."""


def best_checkpoint(folder: RunFolder, weights: EvaluatedWeights) -> Path:
    """Where the best weights of a kind are."""
    return folder.best_checkpoint if weights == "raw" else folder.best_ema_checkpoint


@dataclass(slots=True)
class BestCheckpoints:
    """What the best checkpoint of each kind of weights scores, by everything that it may be chosen by.

    So it can be told from then on by another number, which is compared with its own of the same name.

    Attributes:
        best_by: What decides.
        numbers: Of the evaluation that each was saved after.
    """

    best_by: BestBy
    numbers: dict[EvaluatedWeights, dict[BestBy, float]] = field(default_factory=dict)

    def take_if_better(
        self,
        found: Mapping[Task, Mapping[str, float | None]],
        weights: EvaluatedWeights,
        *,
        loss: float | None = None,
    ) -> bool:
        """Whether an evaluation's number that decides is the best so far of weights of a kind.

        Of losses that is the lowest, of all others the highest.
        """
        numbers: dict[BestBy, float | None] = {
            best_by: found.get(task, {}).get(name) for best_by, (task, name) in _NUMBERS.items()
        }
        numbers["loss"] = loss
        number, best = numbers[self.best_by], self.numbers.get(weights, {}).get(self.best_by)
        if number is None:
            return False
        if best is not None and (number >= best if self.best_by == "loss" else number <= best):
            return False
        self.numbers[weights] = {key: value for key, value in numbers.items() if value is not None}
        return True

    @property
    def chosen(self) -> dict[EvaluatedWeights, float]:
        """The number that decided, of each kind of weights that has one."""
        return {
            weights: numbers[self.best_by]
            for weights, numbers in self.numbers.items()
            if self.best_by in numbers
        }

    def state(self) -> dict[str, Any]:
        """Entries of a checkpoint."""
        numbers = {key: self.numbers.get(kind, {}).get(best_by) for key, (kind, best_by) in _KEYS.items()}
        return {"best_by": self.best_by, **numbers}

    def restore(self, state: Mapping[str, Any], *, best_by: BestBy) -> None:
        """Take up what ``state`` gave.

        Args:
            state: A checkpoint.
            best_by: What decided when it was saved.  One without an entry that says so is older, and has the
                best numbers of all evaluations: only of what decided, that is the best checkpoint's own.
        """
        for key, (weights, kind) in _KEYS.items():
            if (number := state.get(key)) is not None and ("best_by" in state or kind == best_by):
                self.numbers.setdefault(weights, {})[kind] = number

    def describe_change(self, best_by: BestBy, folder: RunFolder) -> Iterator[str]:
        """What it means for a run's best checkpoints that ``best_by`` decided before."""
        if best_by == self.best_by:
            return
        before, now = NAME_OF_NUMBER[best_by], NAME_OF_NUMBER[self.best_by]
        for weights, numbers in self.numbers.items():
            file, chosen = best_checkpoint(folder, weights).name, numbers.get(best_by)
            of_before = before if chosen is None else f"{before} ({chosen:.3f})"
            own = numbers.get(self.best_by)
            then = (
                f"its {now} is not known, so the next evaluation replaces it"
                if own is None
                else f"it has {now} {own:.3f}, and is replaced once an evaluation is better"
            )
            yield f"{file} was chosen by {of_before}, from now on {now} decides: {then}"
