"""Configurations are put together as mmengine does it, without being run."""

import re
from pathlib import Path

import pytest

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.mmdetection.config_file import read_config


def write(folder: Path, **texts: str) -> Path:
    """Files by their names; the first one's path."""
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    return folder / f"{next(iter(texts))}.py"


def values_of(folder: Path, **texts: str) -> dict[str, object]:
    return read_config(write(folder, **texts)).values


def problem_of(folder: Path, text: str) -> str:
    with pytest.raises(SpecError) as caught:
        values_of(folder, a=text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(1, 2.5, 'a', None, True, -3)", [1, 2.5, "a", None, True, -3]),
        ("{'a': 1, **dict(b=2)}", {"a": 1, "b": 2}),
        ("dict({'a': 1}, b=dict(c=2), **{'d': 3})", {"a": 1, "b": {"c": 2}, "d": 3}),
        ("[1] * 2 + [*(3, 4)]", [1, 1, 3, 4]),
        ("(4, ) * 2", [4, 4]),
        ("2 ** (1.0 / 3) * 4", 4 * 2 ** (1 / 3)),
        ("y + 'train/'", "data/train/"),
        ("f'{y}w{n}'", "data/w18"),
        ("z['k'][0]", 7),
        ("z.k[1]", 8),
        ("[dict(s=s) for s in (1, 2)]", [{"s": 1}, {"s": 2}]),
        ("'{{ fileBasenameNoExtension }}-x'", "a-x"),
        ("not False", True),
    ],
)
def test_a_plain_expression_has_its_value(text: str, value: object, tmp_path: Path) -> None:
    names = "y = 'data/'\nn = 18\nz = dict(k=[7, 8])\n"
    assert values_of(tmp_path, a=f"'''A config.'''\n{names}x = {text}\n")["x"] == value


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        ("x = open('f').read()", "`open('f').read()` is no plain value"),
        ("x = __import__('os')", "is no plain value"),
        ("x = lambda: 1", "is no plain value"),
        ("x = y", "the name y has no value here"),
        ("x = dict(a=1)['b']", "has no value"),
        ("x = [0] * 10 ** 9", "unfolds to more than any configuration has"),
        ("x = 'a' * 10 ** 9", "unfolds to more than any configuration has"),
        ("x = 'a' * 9999" + "\nx += x" * 20, "unfolds to more than any configuration has"),
        ("x = [0]" + "\nx = [x, x]" * 30, "unfolds to more than any configuration has"),
        ("x = 9 ** 9 ** 9", "is no plain value"),
        ("x = 1 / 0", "cannot be computed: division by zero"),
        ("x = 1 + 'a'", "cannot be computed: unsupported operand"),
        ("x = f'{1:>9999}'", "is no plain value"),
        ("x = '%9999999d' % 1", "is no plain value"),
        ("import os", "`import os` imports, and nothing of a config is run"),
        ("with read_base():\n    from .b import *", "`with read_base():` imports"),
        ("for i in [1]:\n    x = i", "is no assignment of plain values"),
        ("x = {}\nx.update(a=1)", "`x.update(a=1)` is no assignment of plain values"),
        ("x = {}\nx['a']['b'] = 1", "`x['a']['b']` leads nowhere"),
    ],
)
def test_what_is_not_plain_is_an_error_with_file_and_line(statement: str, line: str, tmp_path: Path) -> None:
    problem = problem_of(tmp_path, f"\n{statement}\n")
    assert re.match(rf"{tmp_path}/a\.py, line \d+: ", problem)
    if "\n" not in statement:
        assert problem.startswith(f"{tmp_path}/a.py, line 2: ")
    assert line in problem


def test_a_file_stands_over_those_it_is_based_on(tmp_path: Path) -> None:
    config = write(
        tmp_path,
        a="_base_ = ['b.py', './c.py']\nx = dict(p=dict(q=3), r=dict(_delete_=True, s=4), t=[9])\n"
        "y = {{_base_.c}}\nz = _base_.x.p\n_base_.x.u.v = 5\n",
        b="x = dict(p=dict(o=1, q=2), r=dict(n=1), t=[1, 2], u=dict(v=1))\n",
        c="_base_ = 'd.py'\nc = 'sea'\n",
        d="c = 'see'\nd = 1\n",
    )
    read = read_config(config)
    assert read.values == {
        "x": {"p": {"o": 1, "q": 3}, "r": {"s": 4}, "t": [9], "u": {"v": 5}},
        "y": "sea",
        "z": {"o": 1, "q": 2},
        "c": "sea",
        "d": 1,
    }
    assert [file.name for file in read.files] == ["b.py", "d.py", "c.py", "a.py"]
    assert {"c", "x"} <= read.used


def test_bases_that_go_round_are_an_error(tmp_path: Path) -> None:
    config = write(tmp_path, a="_base_ = 'b.py'", b="_base_ = 'a.py'")
    with pytest.raises(SpecError, match=r"go round in a circle: a\.py -> b\.py -> .*a\.py"):
        read_config(config)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("_base_ = 'gone.py'", "a.py, line 1: gone.py, which it is based on, is not there"),
        ("_base_ = 'nowhere::x.py'", "a.py, line 1: nowhere::x.py is in the package nowhere, which is not"),
        ("_base_ = 3", "a.py, line 1: _base_ is one file or a list of files, not 3"),
        ("x = (1,\n", "a.py, line 1: not Python: '(' was never closed"),
        ("base: an experiment\nmodel: {a: 1}\n", "an mmdetection config is a .py file"),
        ("\0", "not Python"),
    ],
)
def test_a_file_that_is_none_is_told(text: str, problem: str, tmp_path: Path) -> None:
    assert problem in problem_of(tmp_path, text)


def test_two_bases_cannot_have_one_name(tmp_path: Path) -> None:
    config = write(tmp_path, a="_base_ = ['b.py', 'c.py']", b="x = 1", c="x = 2")
    with pytest.raises(SpecError, match=r"a\.py, line 1: x is in two of the files of _base_"):
        read_config(config)


def test_a_dict_over_what_is_none_needs_a_delete(tmp_path: Path) -> None:
    config = write(tmp_path, a="_base_ = 'b.py'\nx = dict(y=dict(z=1))", b="x = dict(y=[1])")
    with pytest.raises(SpecError, match=r"x\.y is a dict over \[1\] of its _base_; add _delete_=True"):
        read_config(config)


def test_a_picture_is_no_config(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(SpecError, match="not an mmdetection config"):
        read_config(tmp_path / "a.py")
    with pytest.raises(SpecError, match="cannot be read as an mmdetection config: No such file"):
        read_config(tmp_path / "b.py")


def test_variables_of_the_environment_stand_in_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HRDET_TEST_DATA", "/data")
    monkeypatch.delenv("HRDET_TEST_GONE", raising=False)
    text = "a = '{{$HRDET_TEST_DATA:x}}/coco'\nb = '{{ $HRDET_TEST_GONE:x }}'\nc = {{'$HRDET_TEST_GONE:3'}}\n"
    assert values_of(tmp_path, a=text) == {"a": "/data/coco", "b": "x", "c": 3}
