"""The losses on candidates: sums over a process's pictures."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor
from torch.nn import functional as F

from hrdet_cli.engine.models.boxes.sampling import Sample


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxLoss:
    """Loss on encoded box deltas.

    Attributes:
        kind: ``"smooth_l1"`` as in Fast R-CNN and the 2019 code, ``"l1"`` as in mmdetection 3.
        beta: Where smooth-L1 turns from square to linear; belongs to ``"smooth_l1"`` alone.

    Raises:
        ValueError: ``beta`` is missing or not positive with ``"smooth_l1"``, or given with ``"l1"``.
    """

    kind: Literal["smooth_l1", "l1"]
    beta: float | None = None

    def __post_init__(self) -> None:
        if self.kind == "l1" and self.beta is not None:
            raise ValueError(f"an l1 box loss has no beta, but beta is {self.beta}; leave it out")
        if self.kind == "smooth_l1" and (self.beta is None or self.beta <= 0):
            raise ValueError(f"a smooth_l1 box loss needs a beta above 0, but beta is {self.beta}")

    def __call__(self, deltas: Tensor, wanted: Tensor, is_positive: Tensor) -> Tensor:
        """Sum over the positives' deltas; arguments as of ``of_each``.

        Returns:
            Scalar; without positives it is 0, with a gradient of 0.
        """
        return self.of_each(deltas, wanted, is_positive).sum()

    def of_each(self, deltas: Tensor, wanted: Tensor, is_positive: Tensor) -> Tensor:
        """Loss of each delta.

        Args:
            deltas: ``(N, S, 4)`` float32, predicted.
            wanted: ``(N, S, 4)`` float32; anything, even NaN, where not positive.
            is_positive: ``(N, S)`` bool, which of them count.

        Returns:
            ``(N, S, 4)``; 0, with a gradient of 0, where not positive.
        """
        counts = is_positive[..., None]
        wanted = wanted.where(counts, 0.0)
        if self.beta is None:
            losses = F.l1_loss(deltas, wanted, reduction="none")
        else:
            losses = F.smooth_l1_loss(deltas, wanted, reduction="none", beta=self.beta)
        return losses * counts


def objectness_loss(logits: Tensor, sample: Sample) -> Tensor:
    """Summed binary cross entropy of drawn anchors.

    Args:
        logits: ``(N, S)`` float32.
        sample: Which of them count, and which should be 1.

    Returns:
        Scalar.
    """
    losses = F.binary_cross_entropy_with_logits(logits, sample.is_positive.to(logits.dtype), reduction="none")
    return (losses * sample.is_valid).sum()


def class_loss(logits: Tensor, labels: Tensor, is_valid: Tensor) -> Tensor:
    """Summed cross entropy of drawn regions.

    Args:
        logits: ``(N, S, K + 1)`` float32, the background last.
        labels: ``(N, S)`` int64 in ``0 .. K``.
        is_valid: ``(N, S)`` bool, which of them count.

    Returns:
        Scalar.
    """
    return (class_losses(logits, labels) * is_valid).sum()


def class_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy of each region.

    Args:
        logits: ``(N, S, K + 1)`` float32, the background last.
        labels: ``(N, S)`` int64 in ``0 .. K``.

    Returns:
        ``(N, S)``.
    """
    losses = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
    return losses.view_as(labels)
