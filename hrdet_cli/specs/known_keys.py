"""The keys that specs can have, read off their classes, and which kinds of sections have them."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hrdet_cli.specs.base import SECTION_KINDS
from hrdet_cli.specs.experiment import ExperimentSpec


def all_keys() -> list[str]:
    """Every dotted key that some spec has, sections left out."""
    return [key for key, is_section in _keys_of(ExperimentSpec, "") if not is_section]


def all_sections() -> list[str]:
    """Every dotted key of a section that some spec has."""
    return [key for key, is_section in _keys_of(ExperimentSpec, "") if is_section]


def find_field(path: Sequence[str], values: Any) -> tuple[list[str], FieldInfo]:
    """The field that a path of keys leads to or into, and the part of the path that is its key.

    Args:
        path: Begins with a key of a spec; what comes behind a field's key is left away.
        values: The whole spec, which says what its sections are.
    """
    current: type[BaseModel] = ExperimentSpec
    for depth, name in enumerate(path, 1):
        field = current.model_fields[name]
        values = values.get(name) if isinstance(values, Mapping) else None
        member = _member(field, values)
        if depth == len(path) or member is None or path[depth] not in member.model_fields:
            return list(path[:depth]), field
        current = member
    raise ValueError("the path is empty")


def type_of(field: FieldInfo) -> Any:
    """A field's annotation with the constraints that pydantic takes off it."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def spec_classes(annotation: Any) -> list[type[BaseModel]]:
    """The specs that a type is, or is one of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in spec_classes(argument)]


def kind_of(spec_class: type[BaseModel]) -> Any:
    """The ``kind`` or ``policy`` by which a spec is chosen among others; None where there are no others."""
    key = kind_key(spec_class)
    return None if key is None else get_args(spec_class.model_fields[key].annotation)[0]


def kind_key(spec_class: type[BaseModel]) -> str | None:
    """``kind`` or ``policy`` where a spec is chosen among others by it."""
    return next((key for key in SECTION_KINDS if key in spec_class.model_fields), None)


def _member(field: FieldInfo, values: Any) -> type[BaseModel] | None:
    """The spec that a section is; the first there is where its values do not say."""
    candidates = spec_classes(field.annotation)
    kinds = [values.get(kind) for kind in SECTION_KINDS] if isinstance(values, Mapping) else []
    chosen = [member for member in candidates if kind_of(member) in kinds]
    return next(iter([*chosen, *candidates]), None)


def section_class(section: Sequence[str], values: Any) -> type[BaseModel]:
    """The spec behind a path of sections."""
    current: type[BaseModel] = ExperimentSpec
    for name in section:
        values = values.get(name) if isinstance(values, Mapping) else None
        current = _member(current.model_fields[name], values) or current
    return current


def kinds_of(key: str) -> list[str]:
    """What a ``kind`` or ``policy`` can be."""
    *section, _ = key.split(".")
    members: list[type[BaseModel]] = [ExperimentSpec]
    for part in section:
        fields = [member.model_fields[part] for member in members if part in member.model_fields]
        members = [found for field in fields for found in spec_classes(field.annotation)]
    return [str(kind_of(member)) for member in members]


def default_kind(label: str) -> str | None:
    """The kind that a section has where nothing sets it; of one that every spec sets, that of a bare one."""
    *section, name = label.split(".")
    _, field = find_field(section, {})
    bare = [member.model_fields[name].default for member in spec_classes(field.annotation)]
    named = [kind for kind in bare if isinstance(kind, str)]
    return getattr(field.default, name, named[0] if field.is_required() and named else None)


def owners(key: str) -> tuple[str, list[str]]:
    """The ``kind`` or ``policy`` that decides whether there is a key, and those of them that have it.

    The latter are empty where all have it.
    """
    path = key.split(".")
    members: list[type[BaseModel]] = [ExperimentSpec]
    for depth in range(len(path)):
        having = [member for member in members if _has(member, path[depth:])]
        if len(having) < len(members):
            return ".".join([*path[:depth], str(kind_key(members[0]))]), [str(kind_of(m)) for m in having]
        fields = [member.model_fields[path[depth]] for member in members]
        members = list(dict.fromkeys(found for field in fields for found in spec_classes(field.annotation)))
    return "", []


@cache
def _keys_of(spec_class: type[BaseModel], prefix: str) -> tuple[tuple[str, bool], ...]:
    """Dotted keys, each with whether it is a section; a list of sections is one value."""
    found: dict[tuple[str, bool], None] = {}
    for name, field in spec_class.model_fields.items():
        members = [] if get_origin(field.annotation) is tuple else spec_classes(field.annotation)
        found[f"{prefix}{name}", bool(members)] = None
        for member in members:
            found.update(dict.fromkeys(_keys_of(member, f"{prefix}{name}.")))
    return tuple(found)


def _has(spec_class: type[BaseModel], path: Sequence[str]) -> bool:
    field = spec_class.model_fields.get(path[0])
    if field is None or len(path) == 1:
        return field is not None
    return any(_has(member, path[1:]) for member in spec_classes(field.annotation))
