"""What became of each key, as people see it."""

import io
from pathlib import Path

from rich.console import Console

from hrdet_cli.cli.display.import_config import draw_import
from hrdet_cli.runs.import_config import ImportedConfig
from hrdet_cli.specs.mmdetection.account import Outcome


def test_every_key_stands_under_what_became_of_it() -> None:
    imported = ImportedConfig(
        config=Path("a.py"),
        files=(Path("b.py"), Path("a.py")),
        generation=3,
        base="mmdet3-hrnet-w18",
        spec_file=Path("a.yaml"),
        outcomes=(
            Outcome("train_cfg.max_epochs", 24, "taken", ("m",), {"optimisation.num_epochs": 24}),
            Outcome("model.s[0].x", 1, "taken", ("s0",), {"model.y": 2}),
            Outcome("model.s[1].x", 1, "taken", ("s1",), {"model.y": 2}),
            Outcome("model.a_key.that_is.longer_than_the_column", "s", "taken", ("l",), {"model.z": "t"}),
            Outcome("root", None, "taken", ("root",), why="stands in other keys", is_name=True),
            Outcome("model.neck.type", "HRFPN", "default", ("t",), why="the same in hrdet"),
            Outcome("model.neck.num_outs", 5, "default", ("n",), why="hrdet has five levels"),
            Outcome("fp16", None, "no counterpart", ("f.a", "f.b"), why="set run.precision"),
        ),
        implied={"norm": {"kind": "batch"}, "data.resize_filter": "opencv"},
        notes=(),
    )
    file = io.StringIO()
    Console(file=file, width=80, markup=False, highlight=False).print(draw_import(imported))
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert lines == [
        "a.py: mmdetection 3, 2 files read",
        "",
        "taken: the spec says it (5 keys)",
        "  train_cfg.max_epochs 24           optimisation.num_epochs 24",
        "  model.s[].x 1                     model.y 2",
        "  model.a_key.that_is.longer_than_the_column 's'",
        "                                    model.z 't'",
        "  names of its own                  stand in other keys: root",
        "",
        "default: hrdet does so anyway (2 keys)",
        "  model.neck  type 'HRFPN', num_outs 5",
        "",
        "no counterpart: not in the spec, where hrdet's defaults stand (2 keys)",
        "  fp16  set run.precision",
        "",
        "without a key in mmdetection 3",
        "  norm.kind 'batch'",
        "  data.resize_filter 'opencv'",
        "",
        "wrote a.yaml, based on the preset mmdet3-hrnet-w18; next:",
        "  hrdet train --spec a.yaml --dry-run",
    ]
