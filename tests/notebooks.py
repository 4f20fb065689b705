"""Notebooks without Jupyter: their cells are executed one after the other, and what they show is kept.

``python -m tests.notebooks docs/python.ipynb`` executes a notebook in the current folder and saves it with
its outputs. It is the notebook's format 4.5: https://nbformat.readthedocs.io/en/latest/format_description.html
"""

import ast
import base64
import contextlib
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Notebook = dict[str, Any]


def read_notebook(path: Path) -> Notebook:
    """A notebook as its file has it."""
    notebook: Notebook = json.loads(path.read_text(encoding="utf-8"))
    return notebook


def execute(notebook: Notebook, parameters: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Execute all cells of code, and put what they show into the notebook.

    Args:
        notebook: Gets outputs and numbers of execution.
        parameters: Values that take the place of those which the cell tagged ``parameters`` sets.

    Returns:
        The values of all names at the end.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    number = 0
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        number += 1
        cell["execution_count"] = number
        cell["outputs"] = _outputs_of("".join(cell["source"]), names, number)
        if "parameters" in cell["metadata"].get("tags", ()):
            unknown = set(parameters or ()) - set(names)
            if unknown:
                raise ValueError(f"the cell of parameters sets no {', '.join(sorted(unknown))}")
            names.update(parameters or {})
    return names


def _outputs_of(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """Execute a cell; what it printed, and the value of the expression that it ends with."""
    module = ast.parse(source)
    last = module.body.pop() if module.body and isinstance(module.body[-1], ast.Expr) else None
    value, printed = None, io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(module, f"<cell {number}>", "exec"), names)  # noqa: S102 - it is our own notebook
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), f"<cell {number}>", "eval"), names)  # noqa: S307
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        lines = printed.getvalue().splitlines(keepends=True)
        outputs.append({"output_type": "stream", "name": "stdout", "text": lines})
    if value is not None:
        outputs.append(
            {
                "output_type": "execute_result",
                "execution_count": number,
                "metadata": {},
                "data": _shown(value),
            }
        )
    return outputs


def _shown(value: Any) -> dict[str, Any]:
    if hasattr(value, "_repr_jpeg_"):
        picture = base64.b64encode(value._repr_jpeg_()).decode()
        return {
            "image/jpeg": picture,
            "text/plain": [f"<a picture of {value.width} x {value.height} pixels>"],
        }
    return {"text/plain": repr(value).splitlines(keepends=True)}


def main() -> None:
    """Execute a notebook and save it."""
    path = Path(sys.argv[1]).absolute()
    notebook = read_notebook(path)
    execute(notebook)
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
