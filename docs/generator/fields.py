"""Every field that a spec can have, by its dotted key, whatever kinds its sections are of."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from docs.generator.docstrings import field_docstrings
from hrdet_cli.specs.expectations import expected
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.known_keys import kind_key, spec_classes

Needs = Mapping[str, Sequence[str]]
"""Keys of kinds, each with the kinds that will do."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A field as the sections of some kinds have it.

    Attributes:
        field: Its type and default.
        description: What it is.
        needs: What kinds its sections have to be of; empty where any will do.
    """

    field: FieldInfo
    description: str
    needs: Needs


@dataclass(frozen=True, slots=True)
class Key:
    """A dotted key.

    Attributes:
        name: ``model.head.rpn.num_samples``; ``[]`` stands for each item of a list.
        variants: What it is; more than one where it is not the same in sections of different kinds.
        members: The specs that it can be; empty where it is no section.
    """

    name: str
    variants: list[Variant] = field(default_factory=list)
    members: list[type[BaseModel]] = field(default_factory=list)

    @property
    def section(self) -> str:
        """The key of the section it is in."""
        return self.name.rpartition(".")[0].removesuffix("[]")


def all_fields() -> dict[str, Key]:
    """Every key, sections before what is in them, in the order of the specs."""
    keys: dict[str, Key] = {}
    kinds: dict[str, list[str]] = {}
    _collect(ExperimentSpec, "", {}, keys, kinds)
    for key in keys.values():
        key.variants[:] = _merged(key.variants, kinds)
    return keys


def kinds_of(spec_class: type[BaseModel]) -> list[str]:
    """What the ``kind`` or ``policy`` of a spec can be."""
    name = kind_key(spec_class)
    return [] if name is None else list(get_args(spec_class.model_fields[name].annotation))


def _collect(
    spec_class: type[BaseModel],
    prefix: str,
    needs: Needs,
    keys: dict[str, Key],
    kinds: dict[str, list[str]],
) -> None:
    """Put the fields of a spec and its sections into ``keys``, and the kinds of sections into ``kinds``."""
    for name, info in spec_class.model_fields.items():
        dotted = f"{prefix}{name}"
        key = keys.setdefault(dotted, Key(dotted))
        key.variants.append(Variant(info, field_docstrings(spec_class)[name], needs))
        members = list(dict.fromkeys(spec_classes(info.annotation)))
        item = "[]" if get_origin(info.annotation) is tuple and members else ""
        for member in members:
            if member not in key.members:
                key.members.append(member)
            inner = needs
            if len(members) > 1:
                label = f"{dotted}.{kind_key(member)}"
                inner = {**needs, label: kinds_of(member)}
                kinds.setdefault(label, []).extend(kinds_of(member))
            _collect(member, f"{dotted}{item}.", inner, keys, kinds)


def _merged(variants: Sequence[Variant], kinds: Mapping[str, Sequence[str]]) -> list[Variant]:
    """Variants that say the same as one, with all the kinds that have it."""
    found: dict[Any, Variant] = {}
    for variant in variants:
        info = variant.field
        same = (variant.description, expected(info), repr(info.get_default()), *sorted(variant.needs))
        known = found.get(same)
        needs = variant.needs if known is None else _united(known.needs, variant.needs)
        found[same] = replace(variant, needs=needs)
    return [replace(one, needs=dict(_restricting(one.needs, kinds))) for one in found.values()]


def _united(first: Needs, second: Needs) -> Needs:
    return {label: list(dict.fromkeys([*kinds, *second[label]])) for label, kinds in first.items()}


def _restricting(needs: Needs, kinds: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Sequence[str]]]:
    """The needs that are not met by every kind there is."""
    for label, those in needs.items():
        if set(those) != set(kinds[label]):
            yield label, those
