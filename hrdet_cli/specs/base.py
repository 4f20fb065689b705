"""The base of every spec, and the kinds of values that several of them share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from hrdet_cli.specs.keys import leaves

Problem = tuple[str, str]
"""The key at fault, dotted from the spec that has the problem, and what is wrong with it."""
SECTION_KINDS = ("kind", "policy")
"""Keys that say which of several specs a section is."""


class Spec(BaseModel):
    """A frozen, fully documented group of settings; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_python_takes_for_a_number(cls, values: Any) -> Any:
        """To Python True is 1, and a count may have any size; nobody who writes such a thing means it."""
        given = values if isinstance(values, dict) else {}
        wrong = [
            key
            for key, field in cls.model_fields.items()
            if (_holds_bool(given.get(key)) and not _allows_bool(field.annotation))
            or (type(given.get(key)) is int and abs(given[key]) > MAX_COUNT)
        ]
        if wrong:
            raise PydanticCustomError("values", "{keys}", {"keys": wrong})
        return values

    @model_validator(mode="after")
    def _refuse_what_does_not_fit_together(self) -> Self:
        problems = list(self.problems())
        if problems:
            raise PydanticCustomError("parts", "{problems}", {"problems": problems})
        return self

    def values_by_key(self) -> dict[str, Any]:
        """All its values, of plain types, by dotted key."""
        return dict(leaves(self.model_dump(mode="json")))

    def problems(self) -> Iterator[Problem]:
        """Values that are valid each, but not together."""
        yield from ()


def _holds_bool(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(_holds_bool, value)))


def _allows_bool(annotation: Any) -> bool:
    return annotation is bool or any(map(_allows_bool, get_args(annotation)))


MAX_COUNT = 2**31 - 1


def _long_edge_first(edges: tuple[int, int]) -> tuple[int, int]:
    long, short = edges
    if short > long:
        raise ValueError(f"is (long edge, short edge), so write [{short}, {long}]")
    return edges


MAX_EDGE_PIXELS = 16384

PositiveEdge = Annotated[int, Field(gt=0, le=MAX_EDGE_PIXELS)]

MAX_PATH_BYTES, MAX_NAME_BYTES = 4000, 255  # what file systems take; a relative path gets longer


def _refuse_overlong(path: Path) -> Path:
    raw = os.fsencode(path)
    if len(raw) > MAX_PATH_BYTES or max(map(len, raw.split(b"/"))) > MAX_NAME_BYTES:
        raise ValueError("is longer than a file's name can be")
    return path


SpecPath = Annotated[Path, AfterValidator(_refuse_overlong)]
"""A path that a file can have."""

LongShort = Annotated[tuple[PositiveEdge, PositiveEdge], AfterValidator(_long_edge_first)]
"""Long and short edge in pixels, long edge first; turns with the orientation of the picture."""

Fraction = Annotated[float, Field(ge=0, le=1)]
"""A number in [0, 1]."""
