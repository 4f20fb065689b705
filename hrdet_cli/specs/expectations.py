"""What a field of a spec takes, in words: from its type, so that no message needs a library's own."""

from collections.abc import Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hrdet_cli.specs.base import MAX_EDGE_PIXELS, LongShort
from hrdet_cli.specs.known_keys import kind_of, spec_classes, type_of
from hrdet_cli.specs.yaml_text import shown

_NOUNS: dict[Any, tuple[str, str]] = {
    bool: ("true or false", "values true or false"),
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("a text", "texts"),
    Path: ("a path", "paths"),
    NoneType: ("null", "nulls"),
}
_NAMES = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


def expected(field: FieldInfo) -> str:
    """What a field takes: ``a whole number above 0``, ``one of 'a', 'b'``, ``a list of numbers``."""
    return _describe(type_of(field), many=False)


def _describe(annotation: Any, *, many: bool) -> str:
    if annotation == LongShort:
        edges = f"[long edge, short edge] of at most {MAX_EDGE_PIXELS} pixels"
        return f"pairs {edges}" if many else f"a pair {edges}, such as [1333, 800]"
    constraints: Sequence[Any] = ()
    if get_origin(annotation) is Annotated:
        annotation, *constraints = get_args(annotation)
    inner = get_args(annotation)
    if get_origin(annotation) is Literal:
        return f"one of {', '.join(map(shown, inner))}" if len(inner) > 1 else shown(inner[0])
    if get_origin(annotation) in (Union, UnionType):
        if (kinds := [kind_of(member) for member in spec_classes(annotation)]) and None not in kinds:
            return f"a section of keys, of one of the kinds {', '.join(kinds)}"
        return " or ".join(_describe(member, many=many) for member in inner)
    if get_origin(annotation) is tuple:
        noun = "lists" if many else "a list"
        if inner[-1] is not Ellipsis:
            return f"{noun} of {len(inner)} {_describe(inner[0], many=True)}"
        example = ", such as [[1333, 800]]" if inner[0] == LongShort else ""
        return f"{noun} of {_describe(inner[0], many=True)}{example}"
    if issubclass(annotation, BaseModel):
        return f"{'sections' if many else 'a section'} with the keys {', '.join(annotation.model_fields)}"
    return _NOUNS[annotation][many] + _limits(_limit_by_name(constraints))


def _limit_by_name(constraints: Sequence[Any]) -> dict[str, Any]:
    """The limits in the metadata of a type, which may lie one in another."""
    found: dict[str, Any] = {}
    for constraint in constraints:
        if isinstance(constraint, FieldInfo):
            found |= _limit_by_name(constraint.metadata)
        for name in ("gt", "ge", "lt", "le", "multiple_of", "pattern", "max_length"):
            if getattr(constraint, name, None) is not None:
                found[name] = getattr(constraint, name)
    return found


def _limits(limits: dict[str, Any]) -> str:
    if limits.get("pattern") == _NAMES:
        most = f", {limits['max_length']} at most" if "max_length" in limits else ""
        return f" of letters, digits, dots, dashes and underscores{most}, with a letter or digit first"
    if "ge" in limits and "le" in limits:
        return f" from {limits['ge']} to {limits['le']}"
    words = {"gt": "above", "ge": "of at least", "lt": "below", "le": "at most"}
    parts = [f"{word} {limits[name]}" for name, word in words.items() if name in limits]
    if "multiple_of" in limits:
        parts.append(f"a multiple of {limits['multiple_of']}")
    return " " + " and ".join(parts) if parts else ""
