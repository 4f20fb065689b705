"""The page of the spec: every key with what it takes, its default, its unit and what it needs."""

import re
from collections.abc import Iterator

from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from docs.generator.fields import Key, Needs, Variant, all_fields, kinds_of
from docs.generator.markdown import bullets, code, either, page, sentence
from docs.generator.values import written
from hrdet_cli.specs.base import SECTION_KINDS
from hrdet_cli.specs.expectations import expected
from hrdet_cli.specs.known_keys import kind_key, spec_classes

_UNITS = ("pixels", "minutes", "epochs", "steps", "megabytes")
_OTHER_UNITS = {"accumulate_steps": "batches"}
_QUOTED = re.compile(r"'([^']*)'")


def spec_page() -> str:
    """Every key, section by section."""
    keys = all_fields()
    sections = ["", *(name for name, key in keys.items() if key.members)]
    parts = [part for name in sections for part in _section(name, keys)]
    return page(
        "Spec: every key",
        f"The {sum(not key.members for key in keys.values())} keys that a spec can have: what each takes, "
        "its default, its unit and what it needs. Change one with `--set KEY=VALUE`, or in "
        "[a file of your own](../specs.md#a-file-of-your-own). `hrdet train ... --dry-run` shows what is "
        "set, and by whom. [Presets](presets.md) are specs that come with hrdet.",
        *parts,
    )


def _section(name: str, keys: dict[str, Key]) -> Iterator[str]:
    """What a section is, and the keys in it that are no sections themselves."""
    if name:
        yield f"## {code(name)}"
        yield from _described(keys[name])
    else:
        yield "## The experiment"
    for key in keys.values():
        if key.section == name and not key.members:
            yield f"### {code(key.name)}"
            yield from _kinds(keys[name]) if name and _tells_kind(key, keys[name]) else _described(key)


def _tells_kind(key: Key, section: Key) -> bool:
    """Whether a key says which of several specs its section is."""
    return len(section.members) > 1 and key.name.rpartition(".")[2] in SECTION_KINDS


def _kinds(section: Key) -> Iterator[str]:
    yield "One of:"
    lines = ((either([code(kind) for kind in kinds_of(one)]), _summary(one)) for one in section.members)
    yield bullets(f"{kinds}: {summary}" for kinds, summary in lines)
    yield _default(section.variants[0].field)


def _summary(spec_class: type[BaseModel]) -> str:
    return sentence((spec_class.__doc__ or "").split("\n\n")[0])


def _described(key: Key) -> Iterator[str]:
    """What a key is for and what it takes, once for all kinds of sections that have it so."""
    alike: dict[tuple[str, str], list[Variant]] = {}
    for variant in key.variants:
        description = sentence(variant.description)
        alike.setdefault((description, _taken(key, variant.field)), []).append(variant)
    for (description, taken), variants in alike.items():
        yield description
        if len(variants) == 1:
            facts = [_default(variants[0].field), _needed(variants[0].needs, "Only with {}.")]
        else:
            facts = [_needed(one.needs, f"{_default(one.field)[:-1]} with {{}}.") for one in variants]
        yield " ".join(filter(None, [taken, *facts]))


def _taken(key: Key, info: FieldInfo) -> str:
    """What a key takes, with its unit; nothing of a section, whose keys follow."""
    if spec_classes(info.annotation):
        return ""
    name = key.name.rpartition(".")[2]
    unit = _OTHER_UNITS.get(name, next((unit for unit in _UNITS if name.endswith(f"_{unit}")), ""))
    words = _QUOTED.sub(r"`\1`", expected(info))
    return f"Takes {words}." if not unit or unit in words else f"Takes {words}, in {unit}."


def _default(info: FieldInfo) -> str:
    """What a key is where nothing sets it; of a section its kind."""
    if info.is_required():
        return "No default."
    value = info.get_default()
    if isinstance(value, BaseModel):
        name = kind_key(type(value))
        return f"Default {code(getattr(value, name))}." if name else ""
    text = written(TypeAdapter(type(value)).dump_python(value, mode="json"))
    return f"Default {code(text)}." if text else "Default: empty."


def _needed(needs: Needs, words: str) -> str:
    """What has to be so for a key to be there, put into words."""
    conditions = [
        either([code(f"{label}={kinds[0]}"), *(code(kind) for kind in kinds[1:])])
        for label, kinds in needs.items()
    ]
    return words.format(" and ".join(conditions)) if conditions else ""
