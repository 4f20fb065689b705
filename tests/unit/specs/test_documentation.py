"""Every setting says what it is."""

from collections.abc import Iterator
from typing import Any, get_args

from docs.generator.docstrings import field_docstrings
from hrdet_cli.specs.base import Spec
from hrdet_cli.specs.experiment import ExperimentSpec


def spec_classes(annotation: Any) -> Iterator[type[Spec]]:
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        yield annotation
        for field in annotation.model_fields.values():
            yield from spec_classes(field.annotation)
    for argument in get_args(annotation):
        yield from spec_classes(argument)


def test_every_field_of_every_spec_is_documented() -> None:
    undocumented = {
        f"{spec_class.__name__}.{name}"
        for spec_class in spec_classes(ExperimentSpec)
        for name in spec_class.model_fields
        if not field_docstrings(spec_class)[name]
    }
    assert undocumented == set()


def test_the_walk_reaches_the_innermost_sections() -> None:
    names = {spec_class.__name__ for spec_class in spec_classes(ExperimentSpec)}
    assert {"BoxLossSpec", "DatasetSpec", "DemoDataSpec", "GroupNormSpec", "ResizeCropSpec"} <= names
