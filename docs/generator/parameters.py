"""What each command takes, as Typer was told: the same with every version of Typer."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from typer import Typer
from typer.models import ArgumentInfo, OptionInfo


@dataclass(frozen=True, slots=True)
class Parameter:
    """An option or an argument.

    Attributes:
        names: ``--quiet`` and ``-q``; none of an argument.
        value: What is given to it, ``NAME``; nothing of a switch.
        help: What it is for.
        panel: The heading it is listed under; empty where it has none.
        default: The value it has where it is not given; None where that is nothing to be told.
        least: Of a number.
        most: Of a number.
        is_required: Whether it has to be given.
    """

    names: tuple[str, ...]
    value: str
    help: str
    panel: str
    default: str | None
    least: float | None
    most: float | None
    is_required: bool

    @property
    def is_option(self) -> bool:
        """Whether it has a name; else it is an argument."""
        return bool(self.names)

    @property
    def spelling(self) -> str:
        """``--preset NAME``; of an argument ``RUN``."""
        return " ".join(filter(None, [", ".join(self.names), self.value]))


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its name (``hrdet presets list``), what its docstring says, and what it takes."""

    name: str
    help: str
    parameters: list[Parameter]


def all_commands(app: Typer, name: str) -> Iterator[Command]:
    """The commands of an application, those of groups behind its own."""
    for registered in app.registered_commands:
        if registered.callback is not None and not registered.hidden:
            parameters = list(_parameters(registered.callback))
            text = registered.help or inspect.getdoc(registered.callback) or ""
            yield Command(f"{name} {registered.name}", text, parameters)
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from all_commands(group.typer_instance, f"{name} {group.name}")


def _parameters(callback: Callable[..., Any]) -> Iterator[Parameter]:
    hints = get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        kind, info = get_args(hints[name]) if get_origin(hints[name]) is Annotated else (hints[name], None)
        if isinstance(info, OptionInfo | ArgumentInfo) and not info.hidden:
            yield _describe(name, kind, info, parameter.default)


def _describe(name: str, kind: Any, info: OptionInfo | ArgumentInfo, default: Any) -> Parameter:
    is_option = isinstance(info, OptionInfo)
    metavar = info.metavar or _choices_of(kind) or (_value_of(kind) if is_option else name.upper())
    is_told = isinstance(default, str | int | float | Path) and not isinstance(default, bool)
    return Parameter(
        names=(_names_of(info) or (f"--{name.replace('_', '-')}",)) if is_option else (),
        value="" if is_option and kind is bool else metavar,
        help=info.help or "",
        panel=info.rich_help_panel or "",
        default=str(default) if is_told else None,
        least=info.min,
        most=info.max,
        is_required=default is inspect.Parameter.empty,
    )


def _names_of(info: OptionInfo | ArgumentInfo) -> tuple[str, ...]:
    """The names of an option; Typer keeps the first that stands in an annotation as its default."""
    return tuple(name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str))


def _value_of(kind: Any) -> str:
    """What a value is called where nothing names it."""
    return {int: "N", float: "X", Path: "PATH"}.get(_plain(kind), "TEXT")


def _choices_of(kind: Any) -> str:
    """``a|b``, of a value that is one of some words; else nothing."""
    plain = _plain(kind)
    if isinstance(plain, type) and issubclass(plain, Enum):
        return "|".join(str(member.value) for member in plain)
    return "|".join(get_args(plain)) if get_origin(plain) is Literal else ""


def _plain(kind: Any) -> Any:
    """A type without the None that it may be."""
    is_union = get_origin(kind) in (Union, UnionType)
    return next(member for member in get_args(kind) if member is not NoneType) if is_union else kind
