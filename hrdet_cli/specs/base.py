"""The base of every spec, and the kinds of values that several of them share."""

from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError


class Spec(BaseModel):
    """A frozen, fully documented group of settings; unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_truth_for_number(cls, values: Any) -> Any:
        """To Python True is 1; nobody who writes it means a number."""
        given = values if isinstance(values, dict) else {}
        problems = [
            (key, f"cannot be true or false; got {given[key]!r:.100}")
            for key, field in cls.model_fields.items()
            if _holds_bool(given.get(key)) and not _allows_bool(field.annotation)
        ]
        if problems:
            raise PydanticCustomError("parts", "{problems}", {"problems": problems})
        return values


def _holds_bool(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(_holds_bool, value)))


def _allows_bool(annotation: Any) -> bool:
    return annotation is bool or any(map(_allows_bool, get_args(annotation)))


def _long_edge_first(edges: tuple[int, int]) -> tuple[int, int]:
    long, short = edges
    if short > long:
        raise ValueError(f"is (long edge, short edge), so write [{short}, {long}]")
    return edges


MAX_EDGE_PIXELS = 16384

PositiveEdge = Annotated[int, Field(gt=0, le=MAX_EDGE_PIXELS)]

LongShort = Annotated[tuple[PositiveEdge, PositiveEdge], AfterValidator(_long_edge_first)]
"""Long and short edge in pixels, long edge first; turns with the orientation of the picture."""

Fraction = Annotated[float, Field(ge=0, le=1)]
"""A number in [0, 1]."""
