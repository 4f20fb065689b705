"""Docstrings in Google's style, and annotations, as Markdown."""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, get_args, get_origin

_TITLES = ("Args", "Attributes", "Returns", "Yields", "Raises")
_ITEM = re.compile(r"^(\w+): ", re.MULTILINE)
_CODE = re.compile(r"``(.+?)``|`([^`]+)`", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Docstring:
    """A docstring taken apart.

    Attributes:
        text: What comes before its sections.
        sections: The text of each section by its title.
    """

    text: str
    sections: Mapping[str, str]

    def items(self, title: str) -> dict[str, str]:
        """What a section says of each name, in one line each; nothing where there is no section."""
        parts = _ITEM.split(self.sections.get(title, ""))
        return {name: " ".join(what.split()) for name, what in zip(parts[1::2], parts[2::2], strict=True)}


def read_docstring(value: object) -> Docstring:
    """The docstring of a function, a class or a property."""
    whole = inspect.getdoc(value) or ""
    parts = re.split(rf"^({'|'.join(_TITLES)}):\n", whole, flags=re.MULTILINE)
    sections = {}
    for title, body in zip(parts[1::2], parts[2::2], strict=True):
        sections[title] = _flattened(textwrap.dedent(body).strip())
    return Docstring(parts[0].strip(), sections)


def _flattened(body: str) -> str:
    """A section's text without the indentation of second lines, which belong to the items above them."""
    return "\n".join(line.strip() for line in body.splitlines())


def linked(text: str, names: Collection[str]) -> str:
    """Markdown of a docstring's text: public names lead to where they are described, other code is code."""

    def link(found: re.Match[str]) -> str:
        literal, name = found.groups()
        if literal is not None:
            return f"`{literal}`"
        first = name.partition(".")[0]
        return f"[`{name}`](#{first.lower()})" if first in names else f"`{name}`"

    return _CODE.sub(link, text)


def signature_of(name: str, function: Callable[..., object]) -> str:
    """How a function is called, with types as its source writes them and the values of its defaults."""
    function = inspect.unwrap(function)
    node = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    if not isinstance(node, ast.FunctionDef):
        raise ValueError(f"{name} is no function")
    names = vars(inspect.getmodule(function))
    types = {
        argument.arg: "" if argument.annotation is None else f": {type_text(argument.annotation, names)}"
        for argument in (*node.args.args, *node.args.kwonlyargs)
    }
    arguments = list(_arguments_of(inspect.signature(function), types))
    returns = "" if node.returns is None else f" -> {type_text(node.returns, names)}"
    line = f"{name}({', '.join(arguments)}){returns}"
    if len(line) <= 88:
        return line
    rows = "".join(f"    {argument},\n" for argument in arguments)
    return f"{name}(\n{rows}){returns}"


def type_text(node: ast.expr, names: Mapping[str, Any]) -> str:
    """An annotation as one reads it; ``names`` are those of the module that it stands in."""
    if isinstance(node, ast.Constant):  # written as a text, since what it names is defined later
        return str(node.value)
    text = ast.unparse(_Spelt(names).visit(node)).replace("'", '"').replace("AnyPath", "str | PathLike")
    return re.sub(r"Generator\[(\w+)\]|Iterator\[(\w+)\]", r"Iterator[\1\2]", text)


class _Spelt(ast.NodeTransformer):
    """Writes literals, and names for some, as the values that there are."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        value = self._names.get(node.id)
        return _either(get_args(value)) if get_origin(value) is Literal else node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if ast.unparse(node.value) == "Literal":
            values = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
            return _either([ast.literal_eval(value) for value in values])
        return self.generic_visit(node)


def _either(values: Sequence[object]) -> ast.expr:
    return ast.parse(" | ".join(map(repr, values)), mode="eval").body


def fields_of(kind: type) -> dict[str, str]:
    """The annotated fields of a class, with their types as its source writes them."""
    node = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    body = node.body if isinstance(node, ast.ClassDef) else []
    names = vars(inspect.getmodule(kind))
    return {
        item.target.id: type_text(item.annotation, names)
        for item in body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }


@cache
def field_docstrings(kind: type) -> Mapping[str, str]:
    """The texts below the annotated fields of a class, and below those that its bases have."""
    if kind.__module__.partition(".")[0] != "hrdet_cli":
        return {}
    node = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    body = node.body if isinstance(node, ast.ClassDef) else []
    texts = {name: text for base in reversed(kind.__bases__) for name, text in field_docstrings(base).items()}
    for item, below in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            texts[item.target.id] = _text_of(below)
    return texts


def _text_of(node: ast.stmt) -> str:
    """A statement that is nothing but a text; nothing where it is another one."""
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return inspect.cleandoc(str(node.value.value)) if is_text else ""  # type: ignore[attr-defined]  # as was asked


def alias_of(module: Any, name: str) -> tuple[str, str]:
    """A type that has a name: what it is, and the text below it."""
    body = ast.parse(inspect.getsource(module)).body
    for assignment, below in zip(body, [*body[1:], ast.Pass()], strict=True):
        if isinstance(assignment, ast.Assign) and ast.unparse(assignment.targets[0]) == name:
            return type_text(assignment.value, {}), " ".join(_text_of(below).split())
    raise ValueError(f"{module.__name__} has no {name}")


def _arguments_of(signature: inspect.Signature, types: Mapping[str, str]) -> Iterator[str]:
    is_keyword_only = False
    for name, parameter in signature.parameters.items():
        if name == "self":
            continue
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and not is_keyword_only:
            is_keyword_only = True
            yield "*"
        default = "" if parameter.default is inspect.Parameter.empty else f" = {_written(parameter.default)}"
        yield f"{name}{types[name]}{default}"


def _written(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)
