"""Pieces of Markdown that GitHub and the site show alike."""

from collections.abc import Iterable, Sequence

MADE = "<!-- Made by `make docs-pages`; change the code that it is made of. -->"
"""The first line of every page."""


def page(title: str, *parts: str) -> str:
    """A page of a title and parts, each with an empty line before it."""
    return "\n\n".join([MADE, f"# {title}", *filter(None, parts)]) + "\n"


def code(text: str) -> str:
    """A text as code in a line, whatever is in it."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{text}{fence}"


def sentence(text: str) -> str:
    """A docstring or help text in one line, with a full stop."""
    line = " ".join(text.split())
    return line if not line or line.endswith((".", "!", "?", ":")) else f"{line}."


def block(text: str, language: str = "") -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```"


def bullets(items: Iterable[str]) -> str:
    """A list."""
    return "\n".join(f"* {item}" for item in items)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar in a cell is no border."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def either(words: Sequence[str]) -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
