"""Broken specs: YAML files and ``--set``, up to the plan of a run.

The oracle: an accepted spec, written out, reads back as the same; and each scalar of the file is in it with
the value that YAML 1.2's core schema gives it (a number may be written as a text, a truth value as a word,
1 or 0).
"""

import copy
import json
import random
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from hrdet_cli.runs.dataset.opening import open_training_data
from hrdet_cli.runs.planning import make_plan
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.loading import LoadedSpec, format_spec, load_spec
from hrdet_cli.specs.presets import find_preset
from tests.faults.fuzz import Case
from tests.faults.mutation import damage, mutate, places

_SCALARS = (
    *("010", "0o10", "0x10", "1_000", "1:30", "1:30.5", "0b11", "+5", "5.", "5e0", "1e400", "-0", "9" * 5000),
    *("2026-11-29", "2026-13-45", "2026-11-29 10:00:00", "yes", "on", "True", "'true'", "'5'", "~", "", "''"),
    *(
        ".inf",
        "-.INF",
        ".nan",
        "1e30",
        "100000000000000000000",
        "1.5",
        "=",
        "<<",
        "!!int x",
        "!!int '5'",
        "!!float .5",
    ),
    *(
        "!!binary aGk=",
        "!!binary '%'",
        "!!set {a, b}",
        "!!omap [a: 1]",
        "!!timestamp x",
        "!!bool maybe",
        "!!str 5",
    ),
    *(
        "!!python/object/apply:os.getcwd []",
        "!unknown 1",
        "*nothing",
        "&a [*a]",
        "&a {b: *a}",
        "{a: 1, a: 2}",
    ),
    *("[1, 2", "{", "|\n text", "'\\x00'", '"\\ud800"', '"\\e[31m"', "\x07", "\ufeff", "é", "[[[[[[1]]]]]]"),
)
_TREES = (
    "preset: demo",
    "base: demo",
    "base: nothing",
    "base: ../demo",
    "base: [demo]",
    "--- 1\n--- 2",
    "[1]",
    "",
)
_TINY = ({"seed": 1, "num_train_images": 4, "num_val_images": 2}, "data")


_NAMED = ["/etc/passwd", *(f"{name}." for name in ExperimentSpec.model_fields), *ExperimentSpec.model_fields]
"""A message may name the key instead of the file, or the file that a key names."""


class Fuzzed:
    """See ``fuzz.Kind``."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "spec.yaml"
        demo, root = _TINY
        data = {"demo": demo, "root": str(folder / root)}
        self._data = Layer("data of the trials", {"data": data})
        whole = load_spec(preset="demo", extra_layers=[self._data])
        open_training_data(whole.spec.data)  # draws them
        self._whole = yaml.safe_load(format_spec(whole.spec))
        self._text = find_preset("demo").path.read_text()

    def case(self, rng: random.Random) -> Case:
        """A file with something wrong, a setting, or both."""
        settings: list[str] = []
        if rng.random() < 0.25:
            setting = self._setting(rng)
            self._path.write_text("base: demo\n")
            return Case(setting[:100], ["--set", *_NAMED], lambda: self._attempt([setting]))
        what, raw = self._broken_file(rng)
        self._path.write_bytes(raw)
        return Case(what, [str(self._path), *_NAMED], lambda: self._attempt(settings))

    def _setting(self, rng: random.Random) -> str:
        keys = [".".join(map(str, path)) for path, _ in _scalars(self._whole)]
        key = rng.choice(
            (rng.choice(keys), rng.choice(keys), "model", "data.train", "x.y", "", ".", "a..b", "é")
        )
        value = rng.choice((rng.choice(_SCALARS), json.dumps(mutate(rng, {"a": [1]})[1])))
        return f"{key}{rng.choice(('=', '=', '=', '= ', '', '=='))}{value}"

    def _broken_file(self, rng: random.Random) -> tuple[str, bytes]:
        kind = rng.random()
        if kind < 0.35:
            what, values = mutate(rng, self._whole)
            return what, yaml.safe_dump(values, allow_unicode=True).encode("utf-8", "surrogatepass")
        if kind < 0.75:
            values, scalar = copy.deepcopy(self._whole), rng.choice(_SCALARS)
            container, key = rng.choice(places(values))
            container[key] = "@@"
            text = yaml.safe_dump(values, width=10_000).replace("'@@'", scalar)
            return f"{key}: {scalar:.40}", text.encode("utf-8", "surrogatepass")
        if kind < 0.85:
            return damage(rng, self._text.encode())
        if kind < 0.9:
            text = rng.choice(_TREES)
            return text, text.encode()
        levels = rng.choice((3, 12, 30))
        rows = [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, levels)]
        bomb = "\n".join(["a0: &a0 [x, x]", *rows])
        depth = rng.choice((50, 1500, 50_000))
        return rng.choice(
            (
                (f"aliases in {levels} levels", f"{self._text}\n{bomb}\n".encode()),
                (
                    f"aliases at a key, {levels} levels",
                    f"base: demo\nname:\n  {bomb.replace(chr(10), chr(10) + '  ')}".encode(),
                ),
                (f"{depth} deep", f"base: demo\nname: {'[' * depth}{']' * depth}".encode()),
                (f"{depth} deep by keys", f"base: demo\nname: {'{a: ' * depth}{'}' * depth}".encode()),
                ("merge key", b"base: demo\nx: &x {seed: 3}\nrun: {<<: *x, seed: 4}"),
                ("merge key alone", b"base: demo\nrun: {<<: {seed: 3}}"),
                ("UTF-16", self._text.encode("utf-16")),
                ("a mark before", b"\xef\xbb\xbf" + self._text.encode()),
                ("Latin-1", b"base: demo\ndescription: \xe9"),
                ("tabs", b"base: demo\nrun:\n\tseed: 3"),
            )
        )

    def _attempt(self, settings: Sequence[str]) -> str | None:
        loaded = load_spec(spec_file=self._path, settings=settings)
        wrong = _what_is_wrong(self._path, loaded, settings)
        placed = load_spec(spec_file=self._path, settings=settings, extra_layers=[self._data])
        make_plan(placed, open_training_data(placed.spec.data), num_processes=2)
        return wrong


def _what_is_wrong(path: Path, loaded: LoadedSpec, settings: Sequence[str]) -> str | None:
    written = path.with_name("written.yaml")
    written.write_text(format_spec(loaded.spec), encoding="utf-8")
    again = load_spec(spec_file=written).spec.model_dump()
    again["data"]["root"] = loaded.spec.data.root
    if again != loaded.spec.model_dump():
        return "does not read back as the same spec"
    values = loaded.spec.model_dump(mode="json")
    roots: list[tuple[tuple[str, ...], yaml.Node | None]] = [((), yaml.compose(path.read_text("utf-8-sig")))]
    for setting in settings:
        key, _, text = setting.partition("=")
        roots = [(tuple(key.strip().split(".")), yaml.compose(text))]
    nodes = (pair for keys, root in roots if root is not None for pair in _nodes(root, keys))
    for location, node in nodes:
        if location[0] != "base" and not _is_meant(node, _at(values, location)):
            return f"{'.'.join(map(str, location))}: {node.value!r:.40} became {_at(values, location)!r:.40}"
    return None


def _scalars(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    if isinstance(values, dict):
        for key, value in values.items():
            yield from _scalars(value, (*path, key))
    else:
        yield path, values


def _nodes(node: yaml.Node, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], yaml.ScalarNode]]:
    """Every scalar of a YAML text with the keys that lead to it; merge keys lead nowhere."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value != "<<":
                yield from _nodes(value, (*path, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _nodes(value, (*path, index))
    elif isinstance(node, yaml.ScalarNode):
        yield path, node


def _at(values: Any, location: Sequence[Any]) -> Any:
    for key in location:
        values = values[key]
    return values


def _is_meant(node: yaml.ScalarNode, value: Any) -> bool:
    """Whether a value is what YAML 1.2 says of a scalar, in the type that the key has."""
    text = node.value
    if isinstance(value, bool):
        return text.lower() in (
            ("true", "on", "yes", "1", "1.0", "y", "t")
            if value
            else ("false", "off", "no", "0", "-0", "0.0", "-0.0", "n", "f")
        )
    if isinstance(value, int | float):
        if re.fullmatch(r"[-+]?\d+", text):
            return int(text) == value
        if re.fullmatch(r"0x[0-9a-fA-F]+|0o[0-7]+", text):
            return int(text, 0) == value
        try:
            return float(text) == value
        except ValueError:
            return False
    if value is None:
        return text in ("", "~", "null", "Null", "NULL") and node.style is None
    return bool(text == value or Path(text) == Path(value) or text.strip() == value)
