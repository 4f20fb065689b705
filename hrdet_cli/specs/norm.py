"""How the detector is normalised."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from hrdet_cli.specs.base import Problem, Spec

Epsilon = Annotated[float, Field(ge=0, lt=1)]

StatisticsKind = Literal["all", "valid"]


class BatchNormSpec(Spec):
    """BatchNorm with the statistics of each process's own batch."""

    kind: Literal["batch"] = "batch"
    """The kind of normalisation."""
    epsilon: Epsilon = 1e-5
    """Added to the variance before its root is taken."""
    keep_statistics: bool = False
    """Keep the mean and variance of the loaded weights and train only scale and shift."""
    statistics: StatisticsKind = "all"
    """Which pixels count: all of the canvas, or only those of the pictures (valid), which puts the padding
    back to zero after every norm, so that results do not depend on how much of it there is."""


class SyncBatchNormSpec(Spec):
    """BatchNorm with the statistics of the batch of all processes, weighted by their pixel counts."""

    kind: Literal["sync"]
    """The kind of normalisation."""
    epsilon: Epsilon = 1e-5
    """Added to the variance before its root is taken."""
    back_end: Literal["coalesced", "per-layer", "equal-count", "torch", "apex"] = "coalesced"
    """What synchronises: hrdet itself, with messages that layers share (coalesced) or not (per-layer);
    torch.nn.SyncBatchNorm (torch) or NVIDIA's apex.parallel.SyncBatchNorm (apex), which train on CUDA only;
    or the rule of apex in 2019, which is wrong for pictures of different sizes and shows it (equal-count)."""
    statistics: StatisticsKind = "all"
    """Which pixels count: all of the canvas, or only those of the pictures (valid), which puts the padding
    back to zero after every norm, so that results do not depend on how much of it there is. Not with torch
    and apex."""


class FrozenNormSpec(Spec):
    """BatchNorm as a fixed affine map: statistics, scale and shift stay those of the loaded weights."""

    kind: Literal["frozen"]
    """The kind of normalisation."""
    epsilon: Epsilon = 1e-5
    """Added to the variance before its root is taken; torchvision's detectors have 0."""


class GroupNormSpec(Spec):
    """GroupNorm, which does not look at the batch at all."""

    kind: Literal["group"]
    """The kind of normalisation."""
    num_groups: PositiveInt = 32
    """Groups per layer; a layer whose channels it does not divide takes the greatest common divisor."""


PartNorm = Literal["batch", "group"] | None
"""What follows the convolutions of a neck or a head: a batch norm, which is of the kind that the section
`norm` says, as the backbone's are; a group norm of 32 groups; or nothing."""


def norm_problems(norm: PartNorm, *, num_convs: int) -> Iterator[Problem]:
    """A norm of convolutions that there are not, to be told of the section that has both keys."""
    if norm is not None and num_convs == 0:
        yield "norm", f"'{norm}' is for convolutions, but num_convs is 0: set that to 4, or norm to null"


NormSpec = Annotated[
    BatchNormSpec | SyncBatchNormSpec | FrozenNormSpec | GroupNormSpec, Field(discriminator="kind")
]
