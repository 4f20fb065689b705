"""Configuration files and what they are based on, as mmcv and mmengine put them together; nothing is run."""

import ast
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hrdet_cli.errors import SpecError
from hrdet_cli.file_kinds import NUM_BYTES_NEEDED, kind_of_file
from hrdet_cli.specs.mmdetection.expressions import BASE, Evaluator, error_at, plain_copy
from hrdet_cli.specs.yaml_text import shown
from hrdet_cli.wording import shortened

_DELETE = "_delete_"
_ENVIRONMENT = re.compile(r"""\{\{['"]?\s*\$(\w+)\s*:\s*(\S*?)\s*['"]?\}\}""")
"""``{{$NAME:default}}``: a variable of the environment, put into the text as mmengine does."""
_MOST_BYTES = 2**20
_MOST_SHOWN = 60
_WRITTEN_OUT = (
    "give the file that mmdetection wrote into its work_dir, where all values stand, or write it with: "
    'python -c \'from mmengine import Config; Config.fromfile("A.py").dump("B.py")\''
)


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What a configuration says, with what it is based on.

    Attributes:
        path: The file that was given.
        values: Nested plain values by the names that the file gives them.
        files: Every file that was read, the given one last.
        used: Names whose values stand in others.
    """

    path: Path
    values: dict[str, Any]
    files: tuple[Path, ...]
    used: frozenset[str]


def read_config(path: Path) -> ConfigFile:
    """Read a configuration and all that it is based on, without running anything.

    Args:
        path: A ``.py`` file of mmdetection 1, 2 or 3.

    Raises:
        SpecError: A file is missing or no configuration, the bases go round in a circle, or something is
            no plain value; names file and line.
    """
    reading = _Reading([], set())
    values = reading.read(path, chain=())
    return ConfigFile(path, values, tuple(reading.files), frozenset(reading.used))


@dataclass(frozen=True, slots=True)
class _Reading:
    files: list[Path]
    used: set[str]

    def read(self, path: Path, *, chain: Sequence[Path]) -> dict[str, Any]:
        """The values of a file over those of its bases."""
        if path.resolve() in chain:
            circle = " -> ".join(file.name for file in [*chain, path])
            raise SpecError([f"{path}: the files go round in a circle: {circle}"])
        module = _parsed(path)
        base = self._base(path, module, [*chain, path.resolve()])
        names: dict[str, Any] = {BASE: base}
        evaluator = Evaluator(path, names)
        for statement in module.body:
            _execute(statement, names, evaluator, path)
        self.used.update(evaluator.used)
        if path not in self.files:
            self.files.append(path)
        own = {name: value for name, value in names.items() if name != BASE}
        return _merged(own, base, path, key="")

    def _base(self, path: Path, module: ast.Module, chain: Sequence[Path]) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for node in _assigned(module, BASE):
            given = Evaluator(path, {}).value(node)
            names = [given] if isinstance(given, str) else given
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise error_at(path, node, f"{BASE} is one file or a list of files, not {shown(given)}")
            for name in names:
                file = _located(name, path, node)
                inner = self.read(file, chain=chain)
                if twice := sorted(values.keys() & inner.keys()):
                    raise error_at(
                        path, node, f"{twice[0]} is in two of the files of {BASE}; mmdetection refuses that"
                    )
                values |= inner
        return values


def _parsed(path: Path) -> ast.Module:
    text = _text_of(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return ast.parse(_ENVIRONMENT.sub(lambda found: os.environ.get(found[1], found[2]), text))
    except SyntaxError as error:
        raise SpecError(
            [f"{path}, line {error.lineno}: not Python: {error.msg}; an mmdetection config is a .py file"]
        ) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise SpecError([f"{path}: not Python: {error or 'nested too deep'}"]) from error


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise SpecError([f"{path}: cannot be read as an mmdetection config: {reason}"]) from error
    kind = kind_of_file(raw[:NUM_BYTES_NEEDED])
    if kind is not None:
        raise SpecError([f"{path}: is {kind.name}, not an mmdetection config, which is a .py file"])
    if len(raw) > _MOST_BYTES:
        raise SpecError([f"{path}: has more than {_MOST_BYTES:,} bytes, which no config has"])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SpecError([f"{path}: cannot be read as an mmdetection config: not UTF-8 text"]) from error


def _assigned(module: ast.Module, name: str) -> Iterator[ast.expr]:
    """What a file assigns to a name."""
    for statement in module.body:
        if isinstance(statement, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in statement.targets
        ):
            yield statement.value


def _located(name: str, path: Path, node: ast.expr) -> Path:
    """The file that an entry of ``_base_`` means."""
    scope, separator, inner = name.partition("::")
    if not separator:
        file = path.parent / name
        if not file.is_file():
            raise error_at(path, node, f"{name}, which it is based on, is not there: {file}")
        return file
    package = find_spec(scope) if scope.isidentifier() else None
    folder = next(iter(package.submodule_search_locations or ()), None) if package else None
    if folder is None:
        raise error_at(
            path, node, f"{name} is in the package {scope}, which is not installed here; {_WRITTEN_OUT}"
        )
    file = Path(folder) / ".mim" / "configs" / inner
    if not file.is_file():
        raise error_at(path, node, f"{name} is not in the package {scope}: {file}")
    return file


def _execute(statement: ast.stmt, names: dict[str, Any], evaluator: Evaluator, path: Path) -> None:
    """Follow one statement of a file."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
        return
    if isinstance(statement, ast.Assign):
        if any(isinstance(target, ast.Name) and target.id == BASE for target in statement.targets):
            return
        value = evaluator.value(statement.value)
        for target in statement.targets:
            _assign(target, plain_copy(value), names, evaluator, path)
        return
    if isinstance(statement, ast.AugAssign) and isinstance(statement.target, ast.Name):
        operation = ast.BinOp(ast.Name(statement.target.id, ast.Load()), statement.op, statement.value)
        for part in ast.walk(operation):
            ast.copy_location(part, statement)
        names[statement.target.id] = evaluator.value(operation)
        return
    what = shortened(ast.unparse(statement).partition("\n")[0], _MOST_SHOWN)
    if isinstance(statement, ast.Import | ast.ImportFrom | ast.With):
        raise error_at(path, statement, f"`{what}` imports, and nothing of a config is run; {_WRITTEN_OUT}")
    raise error_at(path, statement, f"`{what}` is no assignment of plain values; {_WRITTEN_OUT}")


def _assign(target: ast.expr, value: Any, names: dict[str, Any], evaluator: Evaluator, path: Path) -> None:
    """Give a name, or an item of what has one (``_base_.x.y = 1``, ``x['y'] = 1``), a value."""
    if isinstance(target, ast.Name):
        names[target.id] = value
        return
    if isinstance(target, ast.Attribute | ast.Subscript):
        steps: list[Any] = []
        inner: ast.expr = target
        while isinstance(inner, ast.Attribute | ast.Subscript):
            steps.append(inner.attr if isinstance(inner, ast.Attribute) else evaluator.value(inner.slice))
            inner = inner.value
        if isinstance(inner, ast.Name):
            place: Any = names.get(inner.id)
            try:
                for step in reversed(steps[1:]):
                    place = place[step]
                place[steps[0]] = value
            except (KeyError, IndexError, TypeError) as error:
                raise error_at(path, target, f"`{ast.unparse(target)}` leads nowhere") from error
            return
    raise error_at(path, target, f"`{shortened(ast.unparse(target), _MOST_SHOWN)}` cannot be assigned to")


def _merged(above: dict[str, Any], below: dict[str, Any], path: Path, *, key: str) -> dict[str, Any]:
    """Values over others: dictionaries key by key, unless one says ``_delete_=True``."""
    merged = dict(below)
    for name, value in above.items():
        dotted = f"{key}.{name}" if key else name
        if name == _DELETE:
            continue
        if not isinstance(value, dict) or name not in below or value.get(_DELETE):
            merged[name] = _without_deletes(value)
        elif isinstance(below[name], dict):
            merged[name] = _merged(value, below[name], path, key=dotted)
        else:
            raise SpecError(
                [
                    f"{path}: {dotted} is a dict over {shown(below[name])} of its {BASE}; "
                    f"add {_DELETE}=True to it, as mmdetection wants"
                ]
            )
    return merged


def _without_deletes(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_deletes(inner) for key, inner in value.items() if key != _DELETE}
    return [_without_deletes(item) for item in value] if isinstance(value, list) else value
