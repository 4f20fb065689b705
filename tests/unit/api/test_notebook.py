"""The notebook of docs/python.ipynb works as it stands, on a smaller run."""

from pathlib import Path

import pytest

import hrdet_cli as hrdet
from tests.notebooks import execute, read_notebook
from tests.unit.api.small_run import SETTINGS

NOTEBOOK = Path(__file__).parents[3] / "docs" / "python.ipynb"


def test_every_cell_of_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = {**SETTINGS, "data.demo": {"seed": 1, "num_train_images": 2, "num_val_images": 2}}
    data = tmp_path / "data"
    run = hrdet.train("demo", settings={**small, "data.root": data}, run_dir="run")
    notebook = read_notebook(NOTEBOOK)
    saved = [[output["output_type"] for output in cell.get("outputs", [])] for cell in notebook["cells"]]
    names = execute(notebook, {"run": run.folder, "data": data, "short": small, "min_score": 0.0})
    assert isinstance(names["evaluation"], hrdet.Evaluation)
    assert isinstance(names["found"][0], hrdet.Detections)
    shown = [[output["output_type"] for output in cell.get("outputs", [])] for cell in notebook["cells"]]
    assert shown == saved, "python -m tests.notebooks docs/python.ipynb"
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
