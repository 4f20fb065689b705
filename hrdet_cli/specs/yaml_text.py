"""YAML as people expect it: `1e-4` is a number, `off` is a word, and a key given twice is an error."""

import re
from typing import Any

import yaml

from hrdet_cli.errors import SpecError
from hrdet_cli.wording import shortened


class _Loader(yaml.SafeLoader):
    """YAML 1.2's scalars in place of PyYAML's 1.1, no key twice, and an error where a tag does not fit."""

    key_types: tuple[type, ...] = (str,)

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _error_at(node, f"{_text_of(node)} is no mapping, as its tag has it")
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if type(key) not in self.key_types:
                raise _error_at(key_node, f"the key {_text_of(key_node)} is not a text")
            if key == "<<":
                raise _error_at(key_node, "a spec has no merge keys (<<); write the keys out")
            if key in seen:
                raise _error_at(key_node, f"the key '{shortened(key)}' is given twice")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)

    def construct_sequence(self, node: yaml.Node, deep: bool = False) -> list[Any]:
        if not isinstance(node, yaml.SequenceNode):
            raise _error_at(node, f"{_text_of(node)} is no list, as its tag has it")
        return super().construct_sequence(node, deep=deep)

    def construct_text(self, node: yaml.Node) -> str:
        """A text that can be written again and be a path: escapes can make half a character and NUL."""
        if not isinstance(node, yaml.ScalarNode):
            raise _error_at(node, "a list or mapping is no single value, as its tag has it")
        text = str(node.value)
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise _error_at(node, f"{_text_of(node)} has half a character in it (of a UTF-16 pair)")
        if "\0" in text:
            raise _error_at(node, f"{_text_of(node)} has the character NUL in it")
        return text

    def construct_int(self, node: yaml.Node) -> int:
        """Decimal with or without zeros in front (PyYAML takes them for octal), ``0o17`` or ``0x1f``."""
        text = self.construct_text(node)
        if not _INT.match(text):
            raise _error_at(node, f"{_text_of(node)} is no whole number")
        if len(text) > _MOST_DIGITS:
            raise _error_at(
                node, f"{_text_of(node)}, with {len(text):,} characters, is too long for a number"
            )
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)

    def construct_float(self, node: yaml.Node) -> float:
        """As YAML 1.2 writes numbers; ``.inf`` and ``.nan`` are some."""
        text = self.construct_text(node)
        if not (_FLOAT.match(text) or _DECIMAL.match(text)):
            raise _error_at(node, f"{_text_of(node)} is no number")
        return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))

    def construct_bool(self, node: yaml.Node) -> bool:
        """``true`` or ``false``."""
        text = self.construct_text(node)
        if not _BOOL.match(text):
            raise _error_at(node, f"{_text_of(node)} is neither true nor false")
        return text.lower() == "true"

    def construct_null(self, node: yaml.Node) -> None:
        """``null``, ``~`` or nothing."""
        if self.construct_text(node) not in ("", "~", "null", "Null", "NULL"):
            raise _error_at(node, f"{_text_of(node)} is not null")

    def refuse_tag(self, node: yaml.Node) -> None:
        """Tags stand for types of other programs."""
        tag = shortened(node.tag.replace(_TAG, "!!"))
        raise _error_at(node, f"a spec has no values of the type {tag}; leave the tag away")


def _error_at(node: yaml.Node, what: str) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, what, node.start_mark)


def _text_of(node: yaml.Node) -> str:
    """What stands there, to be shown."""
    if isinstance(node, yaml.ScalarNode):
        return repr(shortened(str(node.value)))
    return "[...]" if isinstance(node, yaml.SequenceNode) else "{...}"


_TAG = "tag:yaml.org,2002:"
_Loader.yaml_implicit_resolvers = {
    first: kept
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    if (kept := [(tag, pattern) for tag, pattern in resolvers if tag == _TAG + "null"])
}
_Loader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
    if (tag or "").removeprefix(_TAG) in ("seq", "map")
}

_MOST_DIGITS = 30
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_INT = re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$")
_DECIMAL = re.compile(r"^[-+]?[0-9]+$")
_FLOAT = re.compile(
    r"^[-+]?(?:(?:D+\.D*|\.D+)(?:[eE][-+]?D+)?|D+[eE][-+]?D+|\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$".replace(
        "D", "[0-9]"
    )
)
_Loader.add_constructor(None, _Loader.refuse_tag)
for _name, _construct, _pattern, _first in (
    ("null", _Loader.construct_null, None, ""),
    ("bool", _Loader.construct_bool, _BOOL, "tTfF"),
    ("int", _Loader.construct_int, _INT, "-+0123456789"),
    ("float", _Loader.construct_float, _FLOAT, "-+.0123456789"),
    ("str", _Loader.construct_text, None, ""),
):
    _Loader.add_constructor(_TAG + _name, _construct)
    if _pattern is not None:
        _Loader.add_implicit_resolver(_TAG + _name, _pattern, list(_first))

_MAX_VALUES, _MAX_DEPTH = 100_000, 100
_MOST_SHOWN = 80


class _LabelLoader(_Loader):
    """The same, where keys may be labels."""

    key_types = (str, int)


def parse_yaml(text: str, *, source: str, takes_numbers_as_keys: bool = False) -> Any:
    """The value that a YAML text stands for.

    Args:
        text: YAML, one document.
        source: What to call the text in an error: a file's path or an option as it was typed.
        takes_numbers_as_keys: Whether whole numbers may be keys, as no spec has them.

    Raises:
        SpecError: It is not YAML, has a key twice in a mapping or a tag other than those of plain values,
            or unfolds to more than any spec has.
    """
    try:
        loader = _LabelLoader if takes_numbers_as_keys else _Loader
        value = yaml.load(text, Loader=loader)  # noqa: S506 - derived from SafeLoader
    except RecursionError as error:
        raise _unwieldy(source) from error
    except (
        yaml.YAMLError,
        ValueError,
        OverflowError,
    ) as error:  # the latter of escapes and %YAML
        where, what = _describe(error, text)
        raise SpecError([f"{source}{where}: not valid YAML: {what}"]) from error
    _refuse_unwieldy(value, source)
    return value


def _describe(error: Exception, text: str) -> tuple[str, str]:
    """Where in a text something is wrong, to go behind its source, and what."""
    if isinstance(error, yaml.reader.ReaderError):
        row = text.count("\n", 0, error.position) + 1
        return f", line {row}", f"the character {text[error.position]!a} cannot be in a spec; take it out"
    if not isinstance(error, yaml.MarkedYAMLError):
        return "", "an escape or a directive in it has a number that is too large"
    mark = error.problem_mark or error.context_mark
    where = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
    return where, shortened(", ".join(part for part in (error.context, error.problem) if part), 200)


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


def in_line(value: Any) -> str:
    """A value of plain types as it would be written in a spec, in one line: ``null``, ``[a, b]``, ``{}``."""
    text = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10**6, default_flow_style=True
    )
    return str(text).removesuffix("\n").removesuffix("\n...")


def shown(value: Any) -> str:
    """A value of plain types in one line and cut short, texts in quotation marks, for messages."""
    return (
        repr(shortened(value, _MOST_SHOWN))
        if isinstance(value, str)
        else shortened(in_line(value), _MOST_SHOWN)
    )


class _Dumper(yaml.SafeDumper):
    """Writes lists in flow style, as the presets do, and quotes what the loader would not take for a text."""


_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

_Dumper.add_representer(
    list, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)
)
