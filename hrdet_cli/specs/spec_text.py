"""The text of a spec: read from its file, which must be one, and parsed."""

import codecs
from pathlib import Path
from typing import Any

from hrdet_cli.errors import SpecError
from hrdet_cli.file_kinds import NUM_BYTES_NEEDED, kind_of_file
from hrdet_cli.specs.presets import all_presets
from hrdet_cli.specs.renamed_keys import renamed
from hrdet_cli.specs.yaml_text import parse_yaml, shown

_MOST_BYTES = 2**20
"""Specs have a few kilobytes; annotations given in place of one have many megabytes."""


def parse_spec(text: str, *, source: str) -> dict[str, Any]:
    """The sections that a text has, by the names that keys have now.

    Raises:
        SpecError: It is not YAML, or no mapping, or has a key by its older and its newer name.
    """
    values = parse_yaml(text, source=source)
    if values is None:
        raise SpecError([f"{source}: is empty; a spec is a mapping of sections"])
    if not isinstance(values, dict):
        raise SpecError([f"{source}: a spec is a mapping of sections, not {shown(values)}"])
    return renamed(values, source=source)


def read_spec_text(path: Path) -> str:
    """The text of a spec file, which must be one.

    Raises:
        SpecError: The file cannot be read, or is something else; says what.
    """
    is_of_shell = path.is_relative_to("/dev")  # its <(...) has somebody who writes
    if path.is_fifo() and not is_of_shell:
        raise SpecError([f"{path}: is a pipe, which may never be written into; give a file"])
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # the latter of NUL in a path
        reason = error.strerror if isinstance(error, OSError) else error
        hint = f"; a preset is given with --preset {path}" if str(path) in all_presets() else ""
        raise SpecError([f"{path}: cannot be read as a spec: {reason}{hint}"]) from error
    kind = kind_of_file(raw[:NUM_BYTES_NEEDED])
    if kind is not None:
        remedy = kind.remedy or "Give the spec, a YAML file."
        raise SpecError([f"{path}: is {kind.name}, not a spec. {remedy}"])
    if len(raw) > _MOST_BYTES:
        raise SpecError(
            [f"{path}: has more than {_MOST_BYTES:,} bytes, which no spec has: is it the right file?"]
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        is_utf16 = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        what = "is UTF-16" if is_utf16 else f"is not UTF-8 text (line {row})"
        raise SpecError([f"{path}: cannot be read as a spec: {what}; save it as UTF-8"]) from error
