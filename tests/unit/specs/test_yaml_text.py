"""YAML scalars read as people mean them."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.yaml_text import format_yaml, in_line, parse_yaml, shown


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
        ("010", 10),
        ("-007", -7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("2026-11-29", "2026-11-29"),
        ("=", "="),
        ("٣", "٣"),
    ],
)
def test_scalars(text: str, value: Any) -> None:
    parsed = parse_yaml(text, source="here")
    assert parsed == value
    assert type(parsed) is type(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("off", "off"),
        ("true", "'true'"),
        (0.5, "0.5"),
        (["RBC", 2], "[RBC, 2]"),
        ({"kind": "resize", "turn": None}, "{kind: resize, turn: null}"),
    ],
)
def test_a_value_in_a_line_is_what_a_spec_would_say(value: Any, text: str) -> None:
    assert in_line(value) == text
    assert parse_yaml(text, source="here") == value


@given(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])))
def test_every_text_reads_back_as_that_text(text: str) -> None:
    assert parse_yaml(format_yaml({"name": text}), source="here") == {"name": text}


@pytest.mark.parametrize("text", ["a: 1\na: 2", "{[1]: 2}", "1: 2", "a: [", "\ta: 1"])
def test_what_is_no_spec_text_is_refused_by_its_source(text: str) -> None:
    with pytest.raises(SpecError, match=r"^here, line [12]"):
        parse_yaml(text, source="here")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: !!bool maybe", "here, line 1, column 4: not valid YAML: 'maybe' is neither true nor false"),
        ("a: !!int x", "here, line 1, column 4: not valid YAML: 'x' is no whole number"),
        ("a: !!int 0b1", "here, line 1, column 4: not valid YAML: '0b1' is no whole number"),
        ("a: !!float x", "here, line 1, column 4: not valid YAML: 'x' is no number"),
        ("a: !!null 5", "here, line 1, column 4: not valid YAML: '5' is not null"),
        ("a: !!map x", "here, line 1, column 4: not valid YAML: 'x' is no mapping, as its tag has it"),
        ("a: !!map [1]", "here, line 1, column 4: not valid YAML: [...] is no mapping, as its tag has it"),
        ("a: !!seq {b: 1}", "here, line 1, column 4: not valid YAML: {...} is no list, as its tag has it"),
        ("a: !!int [1]", "here, line 1, column 4: not valid YAML: a list or mapping is no single value"),
        ("a: !!set {b, c}", "here, line 1, column 4: not valid YAML: a spec has no values of the type !!set"),
        ("a: !!binary aGk=", "here, line 1, column 4: not valid YAML: a spec has no values of the type !!b"),
        ("a: !x 1", "here, line 1, column 4: not valid YAML: a spec has no values of the type !x; leave the"),
        ("a: !!timestamp 2026-11-29", "here, line 1, column 4: not valid YAML: a spec has no values of"),
        ("a: 1\nb: {<<: {c: 1}}", "here, line 2, column 5: not valid YAML: a spec has no merge keys (<<)"),
        ("a: " + "9" * 5000, "here, line 1, column 4: not valid YAML: '9999999999"),
        ("a: 0x" + "f" * 5000, "here, line 1, column 4: not valid YAML: '0xffffffff"),
        ("%YAML 1." + "1" * 5000 + "\n---\na: 1", "here: not valid YAML: an escape or a directive in it has"),
        ('a: "\\U00110000"', "here: not valid YAML: an escape or a directive in it has a number that is too"),
        ('a: "\\ud800"', "here, line 1, column 4: not valid YAML: '\\ud800' has half a character in it"),
        ('a: "\\0"', "here, line 1, column 4: not valid YAML: '\\x00' has the character NUL in it"),
        ("a: 1\nb: \x07", "here, line 2: not valid YAML: the character '\\x07' cannot be in a spec"),
        ("a: \udc80", "here, line 1: not valid YAML: the character '\\udc80' cannot be in a spec"),
        ("a: *b", "here, line 1, column 4: not valid YAML: found undefined alias 'b'"),
        ("&a [*a]", "here: nested more than 100 deep"),
        ("&a {b: *a}", "here: nested more than 100 deep"),
        ("[" * 102 + "]" * 102, "here: nested more than 100 deep"),
        ("[" * 50_000, "here: nested more than 100 deep"),
    ],
)
def test_what_no_spec_has_is_refused_with_its_reason(text: str, what: str) -> None:
    with pytest.raises(SpecError) as raised:
        parse_yaml(text, source="here")
    (problem,) = raised.value.problems
    assert problem.startswith(what)
    assert len(problem) < 200


def test_a_few_aliases_that_stand_for_a_billion_values_are_not_unfolded() -> None:
    rows = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]" for level in range(1, 30)]
    with pytest.raises(SpecError, match="more than 100,000 values with all aliases unfolded"):
        parse_yaml("\n".join(["a0: &a0 [x]", *rows]), source="here")
    assert parse_yaml("a: &a [1, 2]\nb: *a", source="here") == {"a": [1, 2], "b": [1, 2]}


def test_what_is_written_reads_back_the_same() -> None:
    value = {"a": {"b": [1, 2.5, None, "off"], "c": 1e-4}, "d": [], "e": "ü"}
    assert parse_yaml(format_yaml(value), source="here") == value


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(SpecError):
        parse_yaml(text, source="here")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        ("off", "'off'"),
        ({"a": [1, {"b": None}]}, "{a: [1, {b: null}]}"),
        (1e-5, "1.0e-05"),
        ([1] * 100, "[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,...1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"),
    ],
)
def test_messages_show_a_value_as_a_spec_has_it_and_cut_it_short(value: Any, text: str) -> None:
    assert shown(value) == text
