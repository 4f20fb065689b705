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


_BOOLEAN, _FLOAT = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:float"
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_BOOLEAN, _FLOAT)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOLEAN, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    _FLOAT,
    re.compile(
        r"^[-+]?(?:(?:\d+\.\d*|\.\d+)(?:[eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+.0123456789"),
)


def parse_yaml(text: str, *, source: str) -> Any:
    """The value that a YAML text stands for.

    Args:
        text: YAML, one document.
        source: What to call the text in an error: a file's path or an option as it was typed.

    Raises:
        SpecError: It is not YAML, or a mapping has a key twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - derived from SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
        what = getattr(error, "problem", None) or error
        raise SpecError([f"{source}{where}: not valid YAML: {what}"]) from error
    except (ValueError, KeyError, RecursionError) as error:  # of PyYAML's own readers of numbers and dates
        raise SpecError([f"{source:.200}: not valid YAML: {error or type(error).__name__}"]) from error


def format_yaml(value: Any) -> str:
    """A value of plain types as YAML, keys in their order, short lists on one line."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Writes lists in flow style, as the presets do, and quotes what the loader would not take for a text."""


_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

_Dumper.add_representer(
    list, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)
)
