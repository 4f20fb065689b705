"""YAML as people expect it: `1e-4` is a number, `off` is a word, and a key given twice is an error."""

import re
from typing import Any

import yaml

from hrdet_cli.errors import SpecError


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars instead of PyYAML's 1.1, and no duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is not a text", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{key}' is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_int(self, node: yaml.ScalarNode) -> int:
        """Decimal with or without zeros in front (PyYAML takes them for octal), ``0o17`` or ``0x1f``."""
        text = self.construct_scalar(node)
        try:
            return int(text, 0 if text[:2] in ("0o", "0x") else 10)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(
                None, None, f"{text:.40} is no whole number that can be read", node.start_mark
            ) from error


_TAG = "tag:yaml.org,2002:"
_Loader.yaml_implicit_resolvers = {
    first: kept
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    if (kept := [(tag, pattern) for tag, pattern in resolvers if tag == _TAG + "null"])
}
_Loader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_TAG) in ("null", "bool", "int", "float", "str", "seq", "map")
}


def _add_scalar(name: str, pattern: str, first: str) -> None:
    _Loader.add_implicit_resolver(_TAG + name, re.compile(pattern), list(first))


_add_scalar("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF")
_add_scalar("int", r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$", "-+0123456789")
_add_scalar(
    "float",
    r"^[-+]?(?:(?:D+\.D*|\.D+)(?:[eE][-+]?D+)?|D+[eE][-+]?D+|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$".replace(
        "D", "[0-9]"
    ),
    "-+.0123456789",
)
_Loader.add_constructor(_TAG + "int", _Loader.construct_int)

_MAX_VALUES, _MAX_DEPTH = 100_000, 100


def parse_yaml(text: str, *, source: str) -> Any:
    """The value that a YAML text stands for.

    Args:
        text: YAML, one document.
        source: What to call the text in an error: a file's path or an option as it was typed.

    Raises:
        SpecError: It is not YAML, has a key twice in a mapping or a tag other than those of plain values,
            or unfolds to more than any spec has.
    """
    try:
        value = yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise SpecError([f"{source}{where}: not valid YAML: {what}"]) from error
    except RecursionError as error:
        raise _unwieldy(source) from error
    except Exception as error:  # PyYAML lets out whatever an impossible scalar raises
        raise SpecError([f"{source}: not valid YAML: {error}"]) from error
    _refuse_unwieldy(value, source)
    return value


def _refuse_unwieldy(value: Any, source: str) -> None:
    """Aliases make a few lines endless; nothing is unfolded beyond the limit."""
    pending, num_values = [(value, 0)], 0
    while pending:
        item, depth = pending.pop()
        num_values += 1
        if depth > _MAX_DEPTH or num_values > _MAX_VALUES:
            raise _unwieldy(source)
        inside = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
        pending += [(part, depth + 1) for part in inside]


def _unwieldy(source: str) -> SpecError:
    return SpecError(
        [
            f"{source}: nested more than {_MAX_DEPTH} deep, or more than {_MAX_VALUES:,} values with all "
            "aliases unfolded; no spec is: is it the right file?"
        ]
    )


def format_yaml(value: Any) -> str:
    """A value of plain types as YAML, keys in their order, short lists on one line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Writes lists in flow style, as the presets do, and quotes what the loader would not take for a text."""


_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

_Dumper.add_representer(
    list, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)
)
