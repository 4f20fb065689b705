"""The base of every spec, and the kinds of values that several of them share."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Spec(BaseModel):
    """A frozen, fully documented group of settings; unknown keys are errors."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True, allow_inf_nan=False
    )


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
