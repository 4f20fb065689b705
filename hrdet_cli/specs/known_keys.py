"""The keys that specs can have, and which of them an unknown one may have meant."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.foreign_names import answer_to, plain_name, synonym_of
from hrdet_cli.specs.keys import leaves
from hrdet_cli.specs.layers import SECTION_KINDS
from hrdet_cli.specs.yaml_text import parse_yaml, shown

_MOST_SUGGESTED = 3


def suggest_key(path: Sequence[int | str], values: Any) -> str:
    """What an unknown key may have meant, as words to go behind it.

    Args:
        path: The key, in parts.
        values: The whole spec it is in, which says what its sections are.
    """
    *section, name = (str(part) for part in path)
    own_keys = list(_section_class(section, values).model_fields)
    everywhere = [key for key in all_keys() if key.rpartition(".")[2] == plain_name(name)]
    synonym = synonym_of(name)
    if (own_section := ".".join([*section, name])) in everywhere:
        return f"it is for {_kinds_with(own_section)}; set that too"
    if inner := list(dict.fromkeys(_meant_inside(_value_at(path, values)))):
        return f"did you mean {' and '.join(_with_kind(key, values) for key in inner[:_MOST_SUGGESTED])}?"
    if (answer := answer_to(name)) is not None and not everywhere:
        return answer
    if synonym is not None and synonym.key != own_section:
        return f"did you mean {_with_kind(synonym.key, values)}?"
    if near := get_close_matches(name, own_keys, n=1, cutoff=0.6):
        return f"did you mean {'.'.join([*section, near[0]])}?"
    if everywhere:
        return f"did you mean {' or '.join(_with_kind(key, values) for key in everywhere[:_MOST_SUGGESTED])}?"
    names = {key.rpartition(".")[2]: key for key in all_keys()}
    if near := get_close_matches(plain_name(name), names, n=1, cutoff=0.75):
        return f"did you mean {_with_kind(names[near[0]], values)}?"
    return f"{'.'.join(section) or 'a spec'} has: {', '.join(own_keys)}"


def _value_at(path: Sequence[int | str], values: Any) -> Any:
    for part in path:
        values = values.get(part) if isinstance(values, Mapping) else None
    return values


def _meant_inside(value: Any) -> Iterator[str]:
    """Our keys for those of an unknown section, such as ``schedule: {epochs: 12}``."""
    for key, _ in leaves(value) if isinstance(value, Mapping) else ():
        name = plain_name(key)
        known = [known for known in all_keys() if known.rpartition(".")[2] == name]
        if (synonym := synonym_of(name)) is not None:
            yield synonym.key
        elif known:
            yield known[0]


def all_keys() -> list[str]:
    """Every dotted key that some spec has, sections left out."""
    return list(dict.fromkeys(_keys_of(ExperimentSpec, "")))


def settings_for(name: str, value: str | None) -> list[str]:
    """What to give ``--set`` in place of an option of other code, or of one that is called like a key.

    Args:
        name: The option, such as ``--epochs``.
        value: What was given to it; it is kept where the key takes it.

    Returns:
        Settings that belong together; empty where nothing is known of the name.
    """
    synonym = synonym_of(name)
    if synonym is None and answer_to(name) is not None:
        return []
    dotted = name.lstrip("-").replace("-", "_")
    named = [key for key in all_keys() if dotted in (key, key.rpartition(".")[2])]
    key, example = synonym or (named[0] if named else "", None)
    if not key:
        return []
    _, field = find_field(key.split("."), _values_with(key))
    if example is None:
        example = "VALUE" if field.is_required() else shown(field.get_default()).strip("'")
    if value is not None and _takes(field, value):
        example = value
    label, kinds = _owners(key)
    needs_kind = kinds and _default_kind(label) not in kinds
    return [*([f"{label}={kinds[0]}"] if needs_kind else []), f"{key}={example}"]


def _takes(field: FieldInfo, text: str) -> bool:
    """Whether a text is a value of a field."""
    try:
        TypeAdapter(type_of(field)).validate_python(parse_yaml(text, source="it"))
    except (SpecError, ValidationError):
        return False
    return True


def _values_with(key: str) -> dict[str, Any]:
    """Values of a spec that has a key, as far as they decide it."""
    label, kinds = _owners(key)
    value: Any = kinds[0] if kinds else None
    for part in reversed(label.split(".")):
        value = {part: value}
    return dict(value)


def _default_kind(label: str) -> str | None:
    """The kind that a section has where nothing sets it."""
    *section, name = label.split(".")
    _, field = find_field(section, {})
    return getattr(field.default, name, None)


def type_of(field: FieldInfo) -> Any:
    """A field's annotation with the constraints that pydantic takes off it."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


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


def spec_classes(annotation: Any) -> list[type[BaseModel]]:
    """The specs that a type is, or is one of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for argument in get_args(annotation) for found in spec_classes(argument)]


def kind_of(spec_class: type[BaseModel]) -> Any:
    """The ``kind`` or ``policy`` by which a spec is chosen among others; None where there are no others."""
    for kind in SECTION_KINDS:
        if kind in spec_class.model_fields:
            return get_args(spec_class.model_fields[kind].annotation)[0]
    return None


def _member(field: FieldInfo, values: Any) -> type[BaseModel] | None:
    """The spec that a section is; the first there is where its values do not say."""
    candidates = spec_classes(field.annotation)
    kinds = [values.get(kind) for kind in SECTION_KINDS] if isinstance(values, Mapping) else []
    chosen = [member for member in candidates if kind_of(member) in kinds]
    return next(iter([*chosen, *candidates]), None)


def _section_class(section: Sequence[str], values: Any) -> type[BaseModel]:
    """The spec behind a path of sections."""
    current: type[BaseModel] = ExperimentSpec
    for name in section:
        values = values.get(name) if isinstance(values, Mapping) else None
        current = _member(current.model_fields[name], values) or current
    return current


def _keys_of(spec_class: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in spec_class.model_fields.items():
        members = spec_classes(field.annotation)
        for member in members:
            yield from _keys_of(member, f"{prefix}{name}.")
        if not members:
            yield f"{prefix}{name}"


def _owners(key: str) -> tuple[str, list[str]]:
    """The name of the ``kind`` or ``policy`` beside a key, and those of them that have such a key.

    The latter are empty where all have it.
    """
    *section, name = key.split(".")
    members: list[type[BaseModel]] = [ExperimentSpec]
    for part in section:
        fields = [member.model_fields[part] for member in members if part in member.model_fields]
        members = [found for field in fields for found in spec_classes(field.annotation)]
    kinds = [str(kind_of(member)) for member in members if name in member.model_fields]
    label = "policy" if section[-1:] == ["padding"] else "kind"
    return ".".join([*section, label]), kinds if len(kinds) < len(members) else []


def _kinds_with(key: str) -> str:
    label, kinds = _owners(key)
    return " or ".join(f"{label}={kind}" for kind in kinds)


def _with_kind(key: str, values: Any) -> str:
    """A key, and the kind of its section that it needs where the section is of another."""
    label, kinds = _owners(key)
    current: Any = values
    for part in label.split("."):
        current = current.get(part) if isinstance(current, Mapping) else None
    return f"{key} (with {_kinds_with(key)})" if kinds and current not in kinds else key
