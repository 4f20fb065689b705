"""YAML scalars read as people mean them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.yaml_text import format_yaml, parse_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-2.5e+3", -2500.0),
        (".5", 0.5),
        ("3", 3),
        ("off", "off"),
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("[[1333, 800]]", [[1333, 800]]),
        ("w18", "w18"),
        ("1333x800", "1333x800"),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    parsed = parse_yaml(text, source="here")
    assert parsed == value
    assert type(parsed) is type(value)


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])))
def test_every_text_reads_back_as_that_text(text: str) -> None:
    assert parse_yaml(format_yaml({"name": text}), source="here") == {"name": text}


@pytest.mark.parametrize("text", ["a: 1\na: 2", "{[1]: 2}", "1: 2", "a: [", "\ta: 1"])
def test_what_is_no_spec_text_is_refused_by_its_source(text: str) -> None:
    with pytest.raises(SpecError, match=r"^here, line [12]"):
        parse_yaml(text, source="here")


def test_what_is_written_reads_back_the_same() -> None:
    value = {"a": {"b": [1, 2.5, None, "off"], "c": 1e-4}, "d": [], "e": "ü"}
    assert parse_yaml(format_yaml(value), source="here") == value
