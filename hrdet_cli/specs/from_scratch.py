"""Training from random weights: what a spec that was made for trained ones has to change."""

from collections.abc import Iterator, Mapping
from typing import Any

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.keys import leaves
from hrdet_cli.specs.layers import Layer, is_asked_for
from hrdet_cli.specs.merging import MergedLayers
from hrdet_cli.specs.optimisation import ParameterGroupsSpec

SOURCE = "--from-scratch"


def from_scratch_layer(merged: MergedLayers) -> Layer:
    """What to put on top of all other layers, so that everything is trained and nothing is kept.

    Raises:
        SpecError: The command line asks for the contrary.
    """
    values = dict(_changes(merged.values))
    problems = [
        f"{SOURCE}: contradicts {source}: nothing is trained yet that could be kept or loaded; "
        "leave one of the two away"
        for source in dict.fromkeys(_contradicted(values, merged))
    ]
    if problems:
        raise SpecError(problems)
    return Layer(SOURCE, values)


def _contradicted(values: Mapping[str, Any], merged: MergedLayers) -> Iterator[str]:
    """The options whose values would be overruled."""
    for key, _ in leaves(dict(values)):
        source = merged.sources.get(key, "")
        if is_asked_for(source):
            yield source


def _changes(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The sections that change; values that are of no use are left for the validation to tell."""
    model: dict[str, Any] = {}
    backbone = _section(_section(values, "model"), "backbone")
    if _section(values, "model").get("weights") is not None:
        model["weights"] = None
    if backbone.get("kind") == "resnet" or backbone.get("frozen_stages", 0) != 0:
        model["backbone"] = {"frozen_stages": 0}
    if model:
        yield "model", model
    norm = _section(values, "norm")
    if norm.get("kind") == "frozen":
        yield "norm", {"kind": "batch"}
    elif norm.get("kind", "batch") == "batch":
        change: dict[str, Any] = {"keep_statistics": False} if norm.get("keep_statistics") else {}
        if norm.get("epsilon") == 0:
            change["epsilon"] = 1e-5
        if change:
            yield "norm", change
    groups = _section(_section(values, "optimisation"), "parameter_groups")
    slow = {name: _slow_factors(_section(groups, name)) for name in ParameterGroupsSpec.model_fields}
    if any(slow.values()):
        factors = {name: dict.fromkeys(keys, 1.0) for name, keys in slow.items() if keys}
        yield "optimisation", {"parameter_groups": factors}


def _slow_factors(group: Mapping[str, Any]) -> list[str]:
    """The keys of a group that make its parameters move less than others."""
    keys = ("learning_rate_factor", "stage_decay")
    return [key for key in keys if isinstance(group.get(key), int | float) and group[key] < 1]


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = values.get(name)
    return section if isinstance(section, Mapping) else {}
