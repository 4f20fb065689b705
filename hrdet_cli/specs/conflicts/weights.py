"""Weights that cannot be, and random ones that would never be trained."""

from collections.abc import Iterator

from hrdet_cli.specs.base import MAX_NAME_BYTES, MAX_PATH_BYTES, Problem
from hrdet_cli.specs.model import ModelSpec
from hrdet_cli.specs.norm import BatchNormSpec, FrozenNormSpec, NormSpec
from hrdet_cli.specs.yaml_text import shown

_KEY = "model.weights"


def weight_problems(model: ModelSpec, norm: NormSpec) -> Iterator[Problem]:
    """What does not go together with ``model.weights``."""
    if model.weights is not None:
        yield from _name_problems(model.weights)
    else:
        yield from _problems_of_random_weights(model, norm)


def _name_problems(weights: str) -> Iterator[Problem]:
    if len(weights) > MAX_PATH_BYTES or max(map(len, weights.split("/"))) > MAX_NAME_BYTES:
        yield _KEY, f"{shown(weights)} is longer than a file's name can be"
    elif not weights.strip() or weights.endswith((":", "/")):
        yield (
            _KEY,
            f"{weights!r} names none; give a file, a name of `hrdet weights list`, timm:NAME, "
            "hf:OWNER/NAME, URL or null",
        )


def _problems_of_random_weights(model: ModelSpec, norm: NormSpec) -> Iterator[Problem]:
    """Parts that would stay as random as they are."""
    keeping: dict[str, str] = {}
    if isinstance(norm, FrozenNormSpec):
        keeping["norm.kind=frozen"] = "norm.kind=batch"
    if isinstance(norm, BatchNormSpec) and norm.keep_statistics:
        keeping["norm.keep_statistics=true"] = "norm.keep_statistics=false"
    if (num_frozen := model.backbone.frozen_stages) > 0:
        keeping[f"model.backbone.frozen_stages={num_frozen}"] = "model.backbone.frozen_stages=0"
    if keeping:
        remedies = " ".join(f"--set {remedy}" for remedy in keeping.values())
        yield (
            _KEY,
            f"is null, but {' and '.join(keeping)} would keep random weights as they are; give weights, or "
            f"train everything: hrdet train --from-scratch, elsewhere {remedies}",
        )
