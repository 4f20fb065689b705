"""What a compiled training step cannot be made of."""

from collections.abc import Iterator

from hrdet_cli.specs.base import Problem
from hrdet_cli.specs.model import ModelSpec
from hrdet_cli.specs.norm import NormSpec, SyncBatchNormSpec
from hrdet_cli.specs.optimisation import OptimisationSpec
from hrdet_cli.specs.padding import BatchPaddingSpec, PaddingSpec
from hrdet_cli.specs.run import RunSpec


def compilation_problems(
    run: RunSpec, *, model: ModelSpec, norm: NormSpec, padding: PaddingSpec, optimisation: OptimisationSpec
) -> Iterator[Problem]:
    """What does not go together with ``run.compile``."""
    if run.compile == "off":
        return
    key, remedy = "run.compile", "or run.compile=off"
    if isinstance(padding, BatchPaddingSpec):
        yield (
            key,
            f"'{run.compile}' makes a graph for each canvas, and with padding.policy=batch nearly every "
            f"batch has its own; set padding.policy=canvases or fixed, {remedy}",
        )
    if model.activation_checkpointing != "off":
        yield (
            key,
            f"'{run.compile}' does not go with model.activation_checkpointing: a compiler decides for itself "
            "what it computes again, and torch cannot trace that norms do not count a batch twice; "
            f"set model.activation_checkpointing=off, {remedy}",
        )
    if optimisation.accumulate_steps > 1:
        yield (
            key,
            f"'{run.compile}' does not go with optimisation.accumulate_steps above 1: each batch is counted "
            "before it is learnt from, which is another graph; "
            f"set optimisation.accumulate_steps=1, {remedy}",
        )
    if isinstance(norm, SyncBatchNormSpec) and norm.back_end in ("torch", "apex"):
        yield (
            key,
            f"'{run.compile}' does not go with norm.back_end={norm.back_end}, whose kernels a compiler knows "
            f"nothing of; set norm.back_end=coalesced, {remedy}",
        )
