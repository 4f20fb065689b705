"""What the comment at the top of a preset says, in its parts."""

import re
import textwrap
from dataclasses import dataclass

_LABEL = re.compile(r"(Launch|Time|Weights|Data|Relative): +|(?=Not )")
_SETTING = re.compile(
    r"--(?:set|weights) [^\s,;]*[:=][^\s,;]*[^\s,;:.)]|\b[a-z]+(?:\.[a-z_0-9]+)+=[^\s,;:]*[^\s,;:.)]"
)
_NOTE = re.compile(r" {2,}\((.*)\)$")


@dataclass(frozen=True, slots=True)
class Header:
    """The comment of a preset.

    Attributes:
        summary: What it is.
        launch: The command line to start with, over one line or several.
        changes: Settings that change what it is for, each with what they do.
        remarks: Its weights, and when not to take it.
    """

    summary: str
    launch: str
    changes: list[str]
    remarks: list[str]


def read_header(text: str) -> Header:
    """The header of a preset file.

    Args:
        text: The file's.
    """
    parts: list[tuple[str, list[str]]] = [("", [])]
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        words = line.removeprefix("# ")
        if found := _LABEL.match(words):
            parts.append((found.group(1) or "", []))
            words = words[found.end() :]
        parts[-1][1].append(words)
    (_, summary), *labelled = parts
    launch = next(lines for label, lines in labelled if label == "Launch")
    num_lines = 1 + sum(line.endswith("\\") for line in launch)
    others = [(label, _joined(lines)) for label, lines in labelled if label != "Launch"]
    remarks = [_coded(f"{label}: {text}" if label else text) for label, text in others]
    command = "\n".join([launch[0], textwrap.indent(textwrap.dedent("\n".join(launch[1:num_lines])), "    ")])
    changes = [_with_code(line.strip()) for line in launch[num_lines:]]
    return Header(_coded(_joined(summary)), _NOTE.sub(r"    # \1", command.strip()), changes, remarks)


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)


def _coded(text: str) -> str:
    """A text with the settings and the weights' names in it as code."""
    return _SETTING.sub(r"`\g<0>`", text)


def _with_code(line: str) -> str:
    """``50 epochs: --set ...`` with the options as code."""
    words, colon, options = line.partition(": ")
    return f"{words}: `{options}`" if colon else line
