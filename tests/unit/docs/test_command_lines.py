"""Command lines in README and pages are understood, and the keys that are named there exist."""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import pytest
import typer.main

from docs.generator.parameters import Command, all_commands
from hrdet_cli.cli.app import app
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.experiment import data_layers
from hrdet_cli.specs.known_keys import all_keys, all_sections
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.presets import all_presets
from hrdet_cli.specs.renamed_keys import RENAMED_KEYS
from tests.documents import Document, command_words, documents

_MEANT_TO_FAIL = {"hrdet train --epochs 12"}
_OF_ALL_COMMANDS = ("--help", "--version", "--install-completion", "--show-completion")
_PLACEHOLDER = re.compile(r"\.\.\.|\$?\{?[A-Z][A-Z_]*\}?")
_KEY = re.compile(
    r"(?:model|norm|data|augmentation|padding|optimisation|evaluation|run)(?:\.[a-z0-9_]+)+(?==|$)"
)
_ENDS_OF_FILES = ("json", "lock", "md", "pt", "py", "safetensors", "yaml")
_PRESETS_OF_ALL_KINDS = (
    "hrnet-w18",
    "mask-hrnet-w18-mstrain-pad",
    "htc-hrnet-w18-20e",
    "mmdet3-retinanet-r50-fpn",
    "fcos-hrnet-w18",
    "tiles-w18",
)
"""One of them takes what a command sets that names no preset."""
_ROOT: Any = typer.main.get_command(app)
_COMMANDS = {command.name: command for command in all_commands(app, "hrdet")}
_PAGES = [document for document in documents() if document.path.name != "CHANGELOG.md"]
_OF_EACH_PAGE = pytest.mark.parametrize("document", _PAGES, ids=lambda document: str(document.path))


def parse(words: Sequence[str]) -> None:
    """Understand the words behind ``hrdet``, as the command line does, and run nothing.

    Raises:
        Exception: Our own or Typer's, of what cannot be understood.
    """
    if not set(words).isdisjoint(_OF_ALL_COMMANDS):  # which act as soon as they are met
        return
    command, context, left = _ROOT, None, list(words)
    while hasattr(command, "commands") and left:
        context = command.context_class(command, info_name="hrdet", parent=context)
        _, command, left = command.resolve_command(context, left)
    command.make_context(command.name, left, context)


def with_values(words: Sequence[str]) -> list[str]:
    """Words with a number for ``N`` behind options that take one, and the first of choices ``a|b``."""
    command = command_of(words)
    parameters = command.parameters if command else []
    numeric = {name for one in parameters if one.value in ("N", "X") for name in one.names}
    behind = ["", *words]
    return [
        "1" if before in numeric and _PLACEHOLDER.fullmatch(word) else word.partition("|")[0]
        for before, word in zip(behind, words, strict=False)
    ]


def command_of(words: Sequence[str]) -> Command | None:
    """The command that words begin with."""
    names = ("hrdet " + " ".join(words[:length]) for length in (2, 1))
    return next((_COMMANDS[name] for name in names if name in _COMMANDS), None)


def commands_in_text(document: Document) -> Iterator[list[str]]:
    """The words behind ``hrdet`` of commands in lines of text, which often lack what they need."""
    for text in document.inline_code:
        if re.match(r"hrdet [a-z-]", text) and text not in _MEANT_TO_FAIL:
            yield command_words(shlex.split(text)[1:])


@cache
def makes_a_spec(preset: str, settings: tuple[str, ...], *, num_sets: int, from_scratch: bool) -> bool:
    """Whether a preset takes settings, with as many training data sets on the command line."""
    layers = data_layers(train=[("a.json", "a")] * num_sets)
    try:
        load_spec(preset=preset, extra_layers=layers, settings=settings, from_scratch=from_scratch)
    except SpecError:
        return False
    return True


@_OF_EACH_PAGE
def test_command_lines_of_a_page_are_understood(document: Document) -> None:
    problems = []
    for words in document.command_lines:
        try:
            parse(with_values(words))
        except Exception as error:
            problems.append(f"hrdet {' '.join(words)}: {error}")
    assert problems == []


@_OF_EACH_PAGE
def test_command_lines_of_a_page_make_valid_specs(document: Document) -> None:
    wrong = []
    for words in [*document.command_lines, *commands_in_text(document)]:
        named = [text for word, text in pairwise(words) if word == "--preset"]
        presets = named if named and not _PLACEHOLDER.fullmatch(named[0]) else _PRESETS_OF_ALL_KINDS
        settings = tuple(text for word, text in pairwise(words) if word == "--set" and not leaves_open(text))
        known = [name for name in presets if name in all_presets()]
        num_sets, from_scratch = words.count("--train-data"), "--from-scratch" in words
        is_right = bool(known) and (
            not settings
            or any(
                makes_a_spec(name, settings, num_sets=num_sets, from_scratch=from_scratch) for name in known
            )
        )
        wrong += [] if is_right else [" ".join(words)]
    assert wrong == []


def leaves_open(setting: str) -> bool:
    """Whether a setting leaves its value to the reader."""
    return bool(_PLACEHOLDER.fullmatch(setting.partition("=")[2])) or "..." in setting


@_OF_EACH_PAGE
def test_commands_in_the_text_of_a_page_have_the_options_that_it_names(document: Document) -> None:
    unknown = []
    for words in commands_in_text(document):
        command = command_of(words)
        given = [word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)]
        known = {*_OF_ALL_COMMANDS}
        if command is not None:
            known |= {name for one in command.parameters for name in one.names}
        elif not given and words[0] not in ("presets", "weights"):
            unknown.append(" ".join(words))
        unknown += [f"{' '.join(words)}: {name}" for name in given if name not in known]
    assert unknown == []


@_OF_EACH_PAGE
def test_keys_that_a_page_names_exist(document: Document) -> None:
    known: Mapping[str, None] = dict.fromkeys([*all_keys(), *all_sections(), *RENAMED_KEYS])
    found = {match.group() for text in document.inline_code if (match := _KEY.match(text))}
    assert [key for key in found if key not in known and key.rpartition(".")[2] not in _ENDS_OF_FILES] == []
