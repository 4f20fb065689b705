"""Command lines over several lines of a shell script."""

import shlex
from collections.abc import Iterator, Sequence

LINE_WIDTH = 96


class ShellText(str):
    """A word for the shell to read, such as ``"$MASTER"``; all others are quoted where they need it."""

    __slots__ = ()


def shell_lines(words: Sequence[str]) -> list[str]:
    """A command over as many lines as it needs, an option never apart from its values.

    Args:
        words: The program and its arguments.

    Returns:
        The lines; all but the last end in a backslash.
    """
    lines = [""]
    for group in _groups(words):
        text = " ".join(word if isinstance(word, ShellText) else shlex.quote(word) for word in group)
        if lines[-1] and len(lines[-1]) + len(text) > LINE_WIDTH:
            lines.append(text)
        else:
            lines[-1] = f"{lines[-1]} {text}".strip()
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


def _groups(words: Sequence[str]) -> Iterator[list[str]]:
    group: list[str] = []
    for word in words:
        if word.startswith("--") and group:
            yield group
            group = []
        group.append(word)
    yield group
