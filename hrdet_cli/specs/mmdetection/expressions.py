"""The values that expressions of a configuration stand for, as far as they are plain: nothing is run."""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hrdet_cli.errors import SpecError
from hrdet_cli.wording import shortened

BASE = "_base_"
"""Under this name a configuration sees what it is based on."""
_SUBSTITUTION = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")
_MOST_SIZE, _MOST_BITS, _MOST_POWER, _MOST_SHOWN = 300_000, 1000, 64, 60
_LETTERS_OF_ITEM = 16

_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = MappingProxyType(
    {
        ast.Add: operator.add,
        ast.Sub: operator.sub,
        ast.Mult: operator.mul,
        ast.Div: operator.truediv,
        ast.FloorDiv: operator.floordiv,
        ast.Mod: operator.mod,
        ast.Pow: operator.pow,
    }
)
_SIGNS: Mapping[type[ast.unaryop], Callable[[Any], Any]] = MappingProxyType(
    {ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Not: operator.not_}
)


def error_at(file: Path, node: ast.AST, what: str) -> SpecError:
    """An error that names file and line."""
    return SpecError([f"{file}, line {getattr(node, 'lineno', 1)}: {what}"])


class Evaluator:
    """Values of expressions in one file.

    Tuples become lists, as specs have them.

    Args:
        file: Named in errors, and by the substitutions ``{{ fileDirname }}`` and the like.
        names: What has been assigned so far; `BASE` is what the file is based on.

    Attributes:
        used: The names that expressions stood on; of what the file is based on, those of its keys.
    """

    def __init__(self, file: Path, names: Mapping[str, Any]) -> None:
        self._file = file
        self._names = names
        self._local: dict[str, Any] = {}
        self._copied = 0
        self.used: set[str] = set()
        self._by_type: Mapping[type[ast.expr], Callable[[Any], Any]] = {
            ast.Constant: self._constant,
            ast.JoinedStr: self._joined,
            ast.Name: self._name,
            ast.Attribute: self._attribute,
            ast.Subscript: self._subscript,
            ast.List: self._items,
            ast.Tuple: self._items,
            ast.Set: self._substitution,
            ast.Dict: self._dict,
            ast.Call: self._call,
            ast.BinOp: self._operation,
            ast.UnaryOp: self._sign,
            ast.ListComp: self._comprehension,
        }

    def value(self, node: ast.expr) -> Any:
        """What an expression stands for.

        Raises:
            SpecError: It is none of those that need nothing run, or has no value.
        """
        evaluate = self._by_type.get(type(node))
        if evaluate is None:
            raise self._not_plain(node)
        return evaluate(node)

    def _charge(self, size: int, node: ast.expr) -> None:
        """Count what is copied: a few lines can make a value that no memory holds.

        Raises:
            SpecError: It is more than any configuration has.
        """
        self._copied += size
        if self._copied > _MOST_SIZE:
            raise error_at(self._file, node, "unfolds to more than any configuration has")

    def _not_plain(self, node: ast.expr) -> SpecError:
        text = shortened(ast.unparse(node), _MOST_SHOWN)
        return error_at(
            self._file,
            node,
            f"`{text}` is no plain value, and nothing of a configuration is run. Write the value itself, or "
            "give the file that mmdetection wrote into its work_dir, where all values stand",
        )

    def _constant(self, node: ast.Constant) -> Any:
        if isinstance(node.value, str):
            return self._substituted(node.value, node)
        if node.value is None or isinstance(node.value, bool | int | float):
            return node.value
        raise self._not_plain(node)

    def _substituted(self, text: str, node: ast.expr) -> Any:
        """A text with what stands in it as ``{{ name }}``; a value of any type where nothing else does."""
        if (whole := _SUBSTITUTION.fullmatch(text)) is not None:
            return self._by_dotted_name(whole[1], node)
        return _SUBSTITUTION.sub(lambda found: str(self._by_dotted_name(found[1], node)), text)

    def _by_dotted_name(self, name: str, node: ast.expr) -> Any:
        of_file = {
            "fileDirname": str(self._file.parent),
            "fileBasename": self._file.name,
            "fileBasenameNoExtension": self._file.stem,
            "fileExtname": self._file.suffix,
        }
        return of_file[name] if name in of_file else self.value(_at_line(name, node))

    def _joined(self, node: ast.JoinedStr) -> str:
        parts = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                value = self.value(part.value)
                if part.conversion != -1 or part.format_spec is not None or isinstance(value, dict | list):
                    raise self._not_plain(node)
                parts.append(str(value))
            else:
                parts.append(str(self._constant(part)) if isinstance(part, ast.Constant) else "")
        return "".join(parts)

    def _name(self, node: ast.Name) -> Any:
        self.used.add(node.id)
        for names in (self._local, self._names):
            if node.id in names:
                self._charge(_size(names[node.id]), node)
                return plain_copy(names[node.id])
        raise error_at(self._file, node, f"the name {node.id} has no value here")

    def _attribute(self, node: ast.Attribute) -> Any:
        if isinstance(node.value, ast.Name) and node.value.id == BASE:
            self.used.add(node.attr)
        return self._item(self.value(node.value), node.attr, node)

    def _subscript(self, node: ast.Subscript) -> Any:
        if isinstance(node.slice, ast.Slice):
            raise self._not_plain(node)
        return self._item(self.value(node.value), self.value(node.slice), node)

    def _item(self, container: Any, key: Any, node: ast.expr) -> Any:
        try:
            return container[key]
        except (KeyError, IndexError, TypeError) as error:
            raise error_at(
                self._file, node, f"`{shortened(ast.unparse(node), _MOST_SHOWN)}` has no value"
            ) from error

    def _items(self, node: ast.List | ast.Tuple) -> list[Any]:
        values: list[Any] = []
        for item in node.elts:
            if isinstance(item, ast.Starred):
                inner = self.value(item.value)
                if not isinstance(inner, list):
                    raise self._not_plain(node)
                values += inner
            else:
                values.append(self.value(item))
        return values

    def _substitution(self, node: ast.Set) -> Any:
        """``{{_base_.x}}``, which Python takes for a set of sets."""
        inner = node.elts[0]
        if len(node.elts) == 1 and isinstance(inner, ast.Set) and len(inner.elts) == 1:
            return self.value(inner.elts[0])
        raise self._not_plain(node)

    def _dict(self, node: ast.Dict) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            value = self.value(value_node)
            if key_node is None:
                values |= self._mapping(value, node)
            else:
                values[str(self.value(key_node))] = value
        return values

    def _call(self, node: ast.Call) -> dict[str, Any]:
        if not isinstance(node.func, ast.Name) or node.func.id != "dict" or len(node.args) > 1:
            raise self._not_plain(node)
        values: dict[str, Any] = {}
        for argument in node.args:
            values |= self._mapping(self.value(argument), node)
        for keyword in node.keywords:
            value = self.value(keyword.value)
            values |= self._mapping(value, node) if keyword.arg is None else {keyword.arg: value}
        return values

    def _mapping(self, value: Any, node: ast.expr) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._not_plain(node)
        return value

    def _operation(self, node: ast.BinOp) -> Any:
        left, right = self.value(node.left), self.value(node.right)
        apply = _OPERATORS.get(type(node.op))
        is_formatting = isinstance(left, str) and not isinstance(node.op, ast.Add | ast.Mult)
        if apply is None or is_formatting or _is_huge(node.op, left, right):
            raise self._not_plain(node)
        self._charge(_result_size(node.op, left, right), node)
        try:
            return apply(left, right)
        except (TypeError, ZeroDivisionError, OverflowError) as error:
            raise error_at(
                self._file,
                node,
                f"`{shortened(ast.unparse(node), _MOST_SHOWN)}` cannot be computed: {error}",
            ) from error

    def _sign(self, node: ast.UnaryOp) -> Any:
        value, apply = self.value(node.operand), _SIGNS.get(type(node.op))
        if apply is None or not isinstance(value, int | float):
            raise self._not_plain(node)
        return apply(value)

    def _comprehension(self, node: ast.ListComp) -> list[Any]:
        """One value for each item of a plain list."""
        loop = node.generators[0]
        if len(node.generators) > 1 or loop.ifs or not isinstance(loop.target, ast.Name):
            raise self._not_plain(node)
        items = self.value(loop.iter)
        if not isinstance(items, list):
            raise self._not_plain(node)
        outer, values = dict(self._local), []
        for item in items:
            self._local = {**outer, loop.target.id: item}
            values.append(self.value(node.elt))
        self._local = outer
        return values


def _at_line(name: str, node: ast.expr) -> ast.expr:
    """A dotted name as an expression that stands where another one does."""
    expression = ast.parse(name, mode="eval").body
    for part in ast.walk(expression):
        ast.copy_location(part, node)
    return expression


def _is_huge(operation: ast.operator, left: Any, right: Any) -> bool:
    """Whether a number would have more digits than any in a configuration."""
    numbers = [value for value in (left, right) if isinstance(value, int)]
    if any(number.bit_length() > _MOST_BITS for number in numbers):
        return True
    return isinstance(operation, ast.Pow) and not (
        isinstance(right, int | float) and abs(right) <= _MOST_POWER
    )


def _result_size(operation: ast.operator, left: Any, right: Any) -> int:
    """Items and letters of the result, at most."""
    size = _size(left) + _size(right)
    repeats = [abs(value) for value in (left, right) if isinstance(value, int)]
    is_repetition = isinstance(operation, ast.Mult) and isinstance(left, list | str) != isinstance(
        right, list | str
    )
    return size * max(repeats, default=1) if is_repetition else size


def _size(value: Any) -> int:
    """Items in a value, whatever their depth; a long text counts as several."""
    if isinstance(value, str):
        return 1 + len(value) // _LETTERS_OF_ITEM
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_size, inside))


def plain_copy(value: Any) -> Any:
    """The same plain value, of which nothing is shared."""
    if isinstance(value, dict):
        return {key: plain_copy(inner) for key, inner in value.items()}
    return [plain_copy(item) for item in value] if isinstance(value, list) else value
