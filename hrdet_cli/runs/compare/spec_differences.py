"""In which keys the specs of runs differ."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hrdet_cli.errors import SpecError
from hrdet_cli.runs.compare.saved_results import SavedResults
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.loading import validate_layers
from hrdet_cli.specs.spec_text import parse_spec

_NAMES = ("name", "description")
"""What a spec is called decides nothing."""

SpecValues = Mapping[str, Any]
"""By dotted key."""


@dataclass(frozen=True, slots=True)
class SpecDifference:
    """A key that has not the same value everywhere.

    Attributes:
        key: Dotted.
        values: Of each side its different values; none of a side whose specs do not have the key.
    """

    key: str
    values: tuple[tuple[Any, ...], ...]

    @property
    def is_everywhere(self) -> bool:
        """Whether all specs have the key: sections of different kinds have different ones."""
        return all(self.values)


def spec_values(results: SavedResults) -> SpecValues | str:
    """The values of a run's spec, with what an evaluation changed; or why there are none, in words."""
    if results.run is None:
        return "nobody knows which run this is of"
    file = results.run.spec_file
    try:
        layers = [Layer(str(file), parse_spec(results.run.read_spec(), source=str(file)))]
        spec = validate_layers(layers).spec
    except SpecError as error:
        return f"its own cannot be read: {error.problems[0]}"
    changes = {} if results.metrics is None else results.metrics.made_from.changes
    return {**spec.values_by_key(), **changes}


def compare_specs(sides: Sequence[Sequence[SpecValues]]) -> list[SpecDifference]:
    """The keys whose values differ, in the order of the specs.

    Args:
        sides: For each side the values of its runs.
    """
    every_key = dict.fromkeys(key for side in sides for values in side for key in values)
    found = []
    for key in every_key:
        texts = [
            [json.dumps(values[key], sort_keys=True) for values in side if key in values] for side in sides
        ]
        num_specs = sum(map(len, sides))
        everywhere = [text for of_side in texts for text in of_side]
        if key not in _NAMES and (len(everywhere) < num_specs or len(set(everywhere)) > 1):
            values = tuple(tuple(map(json.loads, dict.fromkeys(of_side))) for of_side in texts)
            found.append(SpecDifference(key, values))
    return found
