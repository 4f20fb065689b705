"""What Typer refuses of a command line, in hrdet's words: which word is wrong, and what to write."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import typer

from hrdet_cli.errors import SpecError
from hrdet_cli.wording import shortened

# Of its errors Typer exports one; older versions take them from click, newer ones have their own.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]
_CHOICE = re.compile(r".*?'(.*)' is not one of ('.*')", re.DOTALL)
_WANTED = re.compile(r"^Input should be ")
_WORD = re.compile(r"[\w-]+")
_QUOTED = re.compile(r"'([^']*)'")
_LEFT_OVER = re.compile(r"Got unexpected extra argument(?:s|\(s\))? \((.*)\)", re.DOTALL)


@contextmanager
def in_own_words(name: str, parsed: Any, ctx: Any, arguments: Sequence[str]) -> Iterator[None]:
    """Inside, a command of Typer's parses its arguments.

    Args:
        name: Of the command, as it is typed: ``hrdet train``.
        parsed: The command.
        ctx: Its context.
        arguments: What it parses.

    Raises:
        SpecError: An argument is missing, one too many, or has a value that it cannot have.
    """
    try:
        yield
    except _UsageError as error:
        raise SpecError([_describe(error, name, parsed, ctx, arguments)]) from error


def _describe(error: Any, name: str, parsed: Any, ctx: Any, arguments: Sequence[str]) -> str:
    parameter = getattr(error, "param", None)
    if hasattr(error, "param_type"):
        return _describe_missing(error, name, parameter)
    if parameter is not None:
        return _describe_value(error.message, parameter, arguments)
    if left_over := _LEFT_OVER.match(error.message):
        own = [_title(one) for one in parsed.get_params(ctx) if one.param_type_name == "argument"]
        taken = " ".join(own) or "options alone"
        return f"{name} takes {taken}; there is no place for {shortened(left_over[1])}; see {name} --help"
    return f"{name}: {error.message}"


def _describe_missing(error: Any, name: str, parameter: Any) -> str:
    """What is missing: which few it may be, or else what the help says of it."""
    is_option = parameter.param_type_name == "option"
    title = f"{parameter.opts[0]} {parameter.metavar or ''}".rstrip() if is_option else _title(parameter)
    _, _, choices = error.format_message().partition("Choose from:")
    what = (parameter.help or "").split(". ")[0].rstrip(".")
    if choices:
        what = f"one of {', '.join(_WORD.findall(choices))}"
    elif what[1:2].islower():  # no abbreviation
        what = what[0].lower() + what[1:]
    return f"{name} needs {title}{f': {what}' if what else ''}"


def _describe_value(message: str, parameter: Any, arguments: Sequence[str]) -> str:
    """What a value must be, what it is, and which one of few it is nearest to."""
    title = parameter.opts[0] if parameter.param_type_name == "option" else _title(parameter)
    if found := _CHOICE.match(message):
        given, choices = found[1], _QUOTED.findall(found[2])
        near = get_close_matches(given, choices, n=1, cutoff=0.5)
        meant = f"; did you mean {near[0]}?" if near else ""
        return f"{title}: must be one of {', '.join(choices)}; got {shortened(given)}{meant}"
    value = _value_of(parameter, arguments)
    got = "" if value is None else f"; got {shortened(value)}"
    wanted = _WANTED.sub("must be ", message).partition(", unable")[0].rstrip(".")
    return f"{title}: {wanted}{got}"


def _value_of(parameter: Any, arguments: Sequence[str]) -> str | None:
    """The last value that an option was given; None of an argument, whose place among others nobody knows."""
    given = None
    for word, follower in zip(arguments, [*arguments[1:], None], strict=True):
        option, equals, value = word.partition("=")
        if option in parameter.opts:
            given = value if equals else follower
    return given


def _title(parameter: Any) -> str:
    """What a value is called in the help."""
    return str(parameter.metavar or parameter.name.upper())
