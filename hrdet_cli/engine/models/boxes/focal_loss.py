"""Focal loss on every cell of a pyramid and every class, without more memory than its gradient needs.

Lin et al., Focal Loss for Dense Object Detection, arXiv:1708.02002, equation 5.  The canvas of 1600x1024 has
307,000 anchors of RetinaNet; times 80 classes a picture's logits are 98 MB.  Written in plain operations, the
loss would keep half a dozen tensors of that size until the backward pass.  Here it keeps the logits, which
are there anyway, and computes their gradient from them again, one picture at a time.  The wanted 0s and 1s
are never written down: all but one class of a cell has the same formula, and that one is put right
afterwards.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from hrdet_cli.engine.models.boxes.arithmetic import at_least_float32


@dataclass(frozen=True, kw_only=True, slots=True)
class FocalLoss:
    """Binary cross entropy that counts less the surer a prediction is and right.

    Attributes:
        alpha: Weight of what should be 1; what should be 0 has the rest to 1.
        gamma: Power of the distance from what it should be, by which its cross entropy is multiplied.
    """

    alpha: float
    gamma: float

    def __call__(self, logits: Tensor, labels: Tensor, is_counted: Tensor) -> Tensor:
        """Sums over each picture's cells and classes.

        Args:
            logits: ``(N, A, K)`` in any floating dtype.
            labels: ``(N, A)`` int64 in ``0 .. K``; K, the background, wants 0 of all classes.
            is_counted: ``(N, A)`` bool; the others have no effect.

        Returns:
            ``(N,)`` float32, or float64 of float64 logits.
        """
        sums: Tensor = _FocalSums.apply(logits, labels, is_counted, self.alpha, self.gamma)
        return sums


class _FocalSums(torch.autograd.Function):
    """Per picture, so that what is computed on the way is as large as one picture's logits."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, labels: Tensor, is_counted: Tensor, alpha: float, gamma: float
    ) -> Tensor:
        ctx.save_for_backward(logits, labels, is_counted)
        ctx.alpha, ctx.gamma = alpha, gamma
        sums = [
            _losses(*picture, alpha=alpha, gamma=gamma)
            for picture in zip(logits, labels, is_counted, strict=True)
        ]
        return torch.stack(sums)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, weights: Tensor) -> tuple[Tensor | None, ...]:
        logits, *others = ctx.saved_tensors
        gradient = torch.empty_like(logits)
        for into, weight, *picture in zip(gradient, weights, logits, *others, strict=True):
            into.copy_(_slopes(*picture, alpha=ctx.alpha, gamma=ctx.gamma).mul_(weight))
        return gradient, None, None, None, None


def _losses(logits: Tensor, labels: Tensor, is_counted: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Sum over ``(A, K)`` logits."""
    logits = at_least_float32(logits)
    all_zero = logits.sigmoid().pow_(gamma).mul_(F.softplus(logits)).mul_(is_counted[:, None])
    found, is_positive = _of_label(logits, labels, is_counted)
    as_zero = (1 - alpha) * found.sigmoid().pow(gamma) * F.softplus(found)
    as_one = alpha * (-found).sigmoid().pow(gamma) * F.softplus(-found)
    return (1 - alpha) * all_zero.sum() + (as_one - as_zero).where(is_positive, 0.0).sum()


def _slopes(logits: Tensor, labels: Tensor, is_counted: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Derivatives of the sum by each of the ``(A, K)`` logits."""
    logits = at_least_float32(logits)
    slopes = _slope_as_zero(logits, gamma).mul_(1 - alpha).mul_(is_counted[:, None])
    found, is_positive = _of_label(logits, labels, is_counted)
    place = labels.clamp(max=logits.shape[1] - 1)[:, None]
    wanted = (-alpha * _slope_as_zero(-found, gamma)).where(is_positive, slopes.gather(1, place))
    return slopes.scatter_(1, place, wanted)


def _of_label(logits: Tensor, labels: Tensor, is_counted: Tensor) -> tuple[Tensor, Tensor]:
    """``(A, 1)``: the logit that should be 1, and whether there is one at all."""
    num_classes = logits.shape[1]
    is_positive = (labels < num_classes) & is_counted
    return logits.gather(1, labels.clamp(max=num_classes - 1)[:, None]), is_positive[:, None]


def _slope_as_zero(logits: Tensor, gamma: float) -> Tensor:
    """Derivative of ``p ** gamma * softplus(x)``, where p is the sigmoid of x, by x.

    What should be 1 is, but for the signs, the same of ``-x``.
    """
    shares = logits.sigmoid()
    slopes = F.softplus(logits).mul_(gamma).mul_(1 - shares).add_(shares)
    return slopes.mul_(shares.pow_(gamma))
