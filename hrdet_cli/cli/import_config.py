"""``hrdet import``: a spec of an mmdetection config."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hrdet_cli.cli.display.console import print_notices, stdout_console
from hrdet_cli.cli.options import JsonOption


def import_config(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="CONFIG.py", readable=False, help="A config of mmdetection 1, 2 or 3; it is not run."
        ),
    ],
    checkpoint: Annotated[
        str | None,
        typer.Argument(
            metavar="CHECKPOINT",
            help="Weights that the spec shall name: a file, mmdet:NAME or an https address.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="The spec to write; by default CONFIG.yaml in the current folder."
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace it if it is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a spec of an mmdetection config, and say of each of its keys what became of it."""
    from hrdet_cli.runs.import_config import import_config as run_import

    imported = run_import(config, checkpoint=checkpoint, out=out, overwrites=overwrite)
    if as_json:
        typer.echo(json.dumps(imported.to_json(), indent=2, ensure_ascii=False))
        return
    from hrdet_cli.cli.display.import_config import draw_import

    print_notices(imported.notes)
    stdout_console().print(draw_import(imported))
