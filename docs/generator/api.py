"""The page of the Python interface, out of its docstrings."""

import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

import hrdet_cli as hrdet
from docs.generator.docstrings import (
    Docstring,
    alias_of,
    fields_of,
    linked,
    read_docstring,
    signature_of,
)
from docs.generator.markdown import block, bullets, page

SECTIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Detectors": ("load", "build", "Predictor", "Picture"),
        "What is found": ("Detections", "Detection", "Masks"),
        "Training": ("train", "DataSource", "process_group", "World"),
        "Events of a run": (
            "Event",
            "RunStarted",
            "StepForecast",
            "RunForecast",
            "StepReport",
            "Notice",
            "EvaluationProgress",
            "Evaluated",
            "CheckpointSaved",
            "RunStopped",
            "RunFinished",
        ),
        "Scores": ("evaluate", "Evaluation", "TaskMetrics", "ClassMetrics"),
        "A training loop of your own": ("make_batch", "ImageBatch", "Targets"),
        "Errors": (
            "HrdetError",
            "SpecError",
            "DataError",
            "WeightsError",
            "OutputError",
            "NonFiniteLossError",
            "GroupError",
            "LostProcessError",
            "OutOfMemoryError",
        ),
    }
)
"""Every public name, by what it is for."""
_LONGEST = 100
"""Characters of a definition in one line; ruff, which formats code in pages too, breaks one of 110."""
_NAMES = frozenset(hrdet.__all__)
_WITH_METHODS = ("Predictor", "Detections", "Masks")
"""Whose methods are for users."""


def api_page() -> str:
    """Everything public, in its sections."""
    parts = [
        "All public names of `hrdet_cli`; [python.md](../python.md) introduces them. Every other name of the "
        "package is private and may change. N are pictures, H and W their height and width in pixels, D "
        "detections, G objects of the ground truth, K classes.",
    ]
    for title, names in SECTIONS.items():
        parts.append(f"## {title}")
        parts += [part for name in names for part in _describe(name)]
    return page("Python interface", *parts)


def _describe(name: str) -> Iterator[str]:
    value: Any = getattr(hrdet, name)
    yield f"### {name}"
    if inspect.isfunction(value):
        yield from _function(name, value)
    elif inspect.isclass(value):
        yield from _class(name, value)
    else:
        yield from _alias(name)


def _function(name: str, function: Any) -> Iterator[str]:
    yield block(signature_of(name, function), "python")
    yield from _docstring(read_docstring(function))


def _docstring(docstring: Docstring) -> Iterator[str]:
    yield linked(docstring.text, _NAMES)
    yield _bullets(docstring.items("Args"))
    for title in ("Returns", "Yields"):
        if several := docstring.items(title):
            yield f"**{title}**"
            yield _bullets(several)
        elif title in docstring.sections:
            yield f"**{title}** {_prose(docstring.sections[title])}"
    if raises := docstring.items("Raises"):
        yield "**Raises**"
        yield _bullets(raises)


def _prose(text: str) -> str:
    return linked(" ".join(text.split()), _NAMES)


def _bullets(items: Mapping[str, str]) -> str:
    return bullets(f"{_linked_name(name)}: {linked(what, _NAMES)}" for name, what in items.items())


def _linked_name(name: str) -> str:
    return linked(f"`{name}`", _NAMES)


def _class(name: str, kind: type) -> Iterator[str]:
    docstring = read_docstring(kind)
    yield linked(docstring.text, _NAMES)
    attributes, fields = docstring.items("Attributes"), fields_of(kind)
    yield bullets(
        _attribute(field, fields.get(field), attributes.get(field, ""))
        for field in dict.fromkeys([*fields, *attributes])
        if not field.startswith("_")
    )
    if name not in _WITH_METHODS:
        return
    for member, value in vars(kind).items():
        if member.startswith("_"):
            continue
        if isinstance(value, property):
            yield f"**`{name}.{member}`**: {linked(read_docstring(value).text, _NAMES)}"
        elif inspect.isfunction(value):
            yield f"#### {name}.{member}"
            yield from _function(member, value)


def _attribute(name: str, type_text: str | None, what: str) -> str:
    typed = f"`{name}`" if type_text is None else f"`{name}`: `{type_text}`"
    return f"{typed}. {linked(what, _NAMES)}" if what else typed


def _alias(name: str) -> Iterator[str]:
    module = import_module(f"hrdet_cli.{hrdet._MODULE_BY_NAME[name]}")
    what, text = alias_of(module, name)
    several = what.replace(" | ", "\n    | ")
    is_long = len(name) + len(what) > _LONGEST
    yield block(f"{name} = (\n    {several}\n)" if is_long else f"{name} = {what}", "python")
    if text:
        yield linked(text, _NAMES)
