"""What a key or an option that there is not may have meant."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.base import SECTION_KINDS
from hrdet_cli.specs.foreign_names import answer_to, plain_name, synonym_of
from hrdet_cli.specs.keys import leaves, value_at
from hrdet_cli.specs.known_keys import (
    all_keys,
    all_sections,
    default_kind,
    find_field,
    kinds_of,
    owners,
    section_class,
    type_of,
)
from hrdet_cli.specs.renamed_keys import RENAMED_KEYS
from hrdet_cli.specs.yaml_text import parse_yaml, shown

_MOST_SUGGESTED = 3


def suggest_key(path: Sequence[int | str], values: Any) -> str:
    """What an unknown key may have meant, as words to go behind it.

    Args:
        path: The key, in parts.
        values: The whole spec it is in, which says what its sections are.
    """
    *section, name = (part for part in path if isinstance(part, str))
    value = value_at(values, path)
    own_keys = list(section_class(section, values).model_fields)
    everywhere = _fitting_first(name, values)
    if name in SECTION_KINDS:
        everywhere = [key for key in everywhere if value in kinds_of(key)] or everywhere
    synonym = synonym_of(name)
    own_section = ".".join([*section, name])
    inner = _in_section_elsewhere(name, value, values) or list(dict.fromkeys(_meant_inside(value, values)))
    if own_section in everywhere or (own_section in all_sections() and not _all_fit(inner, values)):
        inside = [
            key for key in everywhere if key.startswith(f"{'.'.join(section)}.") and _all_fit([key], values)
        ]
        meant_inside = f", or did you mean {' or '.join(inside[:_MOST_SUGGESTED])}?" if inside else ""
        return f"it is for {_kinds_with(own_section)}; set that too{meant_inside}"
    if inner:
        return f"did you mean {' and '.join(_with_kind(key, values) for key in inner[:_MOST_SUGGESTED])}?"
    if (answer := answer_to(name)) is not None and not everywhere:
        return answer
    if synonym is not None and synonym.key != own_section:
        return f"did you mean {_with_kind(_fitting(synonym.key, values), values)}?"
    meant = {key: ".".join(map(str, [*path[:-1], key])) for key in own_keys} | _older_names(section)
    if near := get_close_matches(name, meant, n=1, cutoff=0.6):
        return f"did you mean {meant[near[0]]}?"
    if everywhere:
        return f"did you mean {' or '.join(_with_kind(key, values) for key in everywhere[:_MOST_SUGGESTED])}?"
    names = {key.rpartition(".")[2]: key for key in all_keys()}
    if near := get_close_matches(plain_name(name), names, n=1, cutoff=0.75):
        return f"did you mean {_with_kind(names[near[0]], values)}?"
    return f"{'.'.join(section) or 'a spec'} has: {', '.join(own_keys)}"


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
    dotted = RENAMED_KEYS.get(dotted, dotted)
    named = [key for key in all_keys() if dotted in (key, key.rpartition(".")[2])]
    key, example = synonym or (named[0] if named else "", None)
    if not key:
        return []
    _, field = find_field(key.split("."), _values_with(key))
    if example is None:
        example = "VALUE" if field.is_required() else shown(field.get_default()).strip("'")
    if value is not None and _takes(field, value):
        example = value
    label, kinds = owners(key)
    needs_kind = kinds and default_kind(label) not in kinds
    return [*([f"{label}={kinds[0]}"] if needs_kind else []), f"{key}={example}"]


def _in_section_elsewhere(name: str, value: Any, values: Any) -> list[str]:
    """The keys of an unknown section where another section of that name, or nearly, has them all."""
    inner = [key for key, _ in leaves(value)] if isinstance(value, Mapping) else [""]
    known, sections = {*all_keys(), *all_sections()}, all_sections()
    for near in get_close_matches(name, {key.rpartition(".")[2] for key in sections}, cutoff=0.8):
        for section in (key for key in sections if key.rpartition(".")[2] == near):
            found = [f"{section}.{key}".removesuffix(".") for key in inner or [""]]
            if known.issuperset(found) and _all_fit(found, values):
                return found
    return []


def _older_names(section: Sequence[str]) -> dict[str, str]:
    """What keys of a section were called once, and what they are called now, dotted."""
    prefix = "".join(f"{part}." for part in section)
    return {
        old.removeprefix(prefix): new
        for old, new in RENAMED_KEYS.items()
        if old.rpartition(".")[0] == prefix.removesuffix(".")
    }


def _meant_inside(value: Any, values: Any) -> Iterator[str]:
    """Our keys for those of an unknown section, such as ``schedule: {epochs: 12}``."""
    for key, _ in leaves(value) if isinstance(value, Mapping) else ():
        name = plain_name(key)
        known = _fitting_first(name, values)
        if (synonym := synonym_of(name)) is not None:
            yield _fitting(synonym.key, values)
        elif known:
            yield known[0]


def _fitting_first(name: str, values: Any) -> list[str]:
    """The dotted keys that end with a name, those that a spec of these values can have first."""
    named = [key for key in all_keys() if key.rpartition(".")[2] == plain_name(name)]
    return sorted(named, key=lambda key: not _all_fit([key], values))


def _fitting(key: str, values: Any) -> str:
    """A key, or where a spec of these values cannot have it, one of the same name beside it or above."""
    if _all_fit([key], values):
        return key
    section, _, name = key.rpartition(".")
    near = [other for other in _fitting_first(name, values) if _all_fit([other], values)]
    return next((other for other in near if section.startswith(other.rpartition(".")[0])), key)


def _all_fit(keys: Sequence[str], values: Any) -> bool:
    """Whether a spec of these values can have keys without a section being of another kind."""
    return bool(keys) and all(_with_kind(key, values) == key for key in keys)


def _with_kind(key: str, values: Any) -> str:
    """A key, and the kind of its section that it needs where the section is of another."""
    label, kinds = owners(key)
    current = value_at(values, label)
    if current is None and label:
        current = default_kind(label)
    return f"{key} (with {_kinds_with(key)})" if kinds and current not in kinds else key


def _kinds_with(key: str) -> str:
    label, kinds = owners(key)
    return " or ".join(f"{label}={kind}" for kind in kinds)


def _takes(field: FieldInfo, text: str) -> bool:
    """Whether a text is a value of a field."""
    try:
        TypeAdapter(type_of(field)).validate_python(parse_yaml(text, source="it"))
    except (SpecError, ValidationError):
        return False
    return True


def _values_with(key: str) -> dict[str, Any]:
    """Values of a spec that has a key, as far as they decide it."""
    label, kinds = owners(key)
    value: Any = kinds[0] if kinds else {}
    for part in reversed(label.split(".") if kinds else ()):
        value = {part: value}
    return dict(value)
