"""The names that are public, and how they come."""

import ast
import inspect
from pathlib import Path

import pytest

import hrdet_cli as hrdet

NAMES = [name for name in hrdet.__all__ if name != "__version__"]


def test_the_names_for_types_are_those_that_are_loaded() -> None:
    """Types are for whoever reads, names are loaded when they are asked for: both say the same."""
    module = ast.parse(Path(hrdet.__file__).read_text())
    blocks = [node for node in module.body if isinstance(node, ast.If)]
    imported = {
        alias.name: (node.module or "").removeprefix("hrdet_cli.")
        for node in blocks[0].body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert imported == hrdet._MODULE_BY_NAME
    assert sorted(imported) == sorted(NAMES)
    assert dir(hrdet) == sorted(hrdet.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'hrdet_cli' has no attribute 'YOLO'$"):
        hrdet.YOLO  # type: ignore[attr-defined]  # noqa: B018


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_documented_and_typed(name: str) -> None:
    value = getattr(hrdet, name)
    if name in ("DataSource", "Event", "Picture"):  # unions of types
        return
    assert len(inspect.getdoc(value) or "") > 20
    documented = inspect.getdoc(value) or ""
    if inspect.isfunction(value):
        for parameter in inspect.signature(value).parameters.values():
            assert parameter.annotation is not inspect.Parameter.empty
            assert f"{parameter.name}:" in documented
