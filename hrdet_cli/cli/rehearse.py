"""``hrdet train --rehearse``: options, and what is shown and written."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hrdet_cli.cli.display.work import load_torch
from hrdet_cli.cli.given_paths import refuse_missing_data
from hrdet_cli.errors import SpecError

if TYPE_CHECKING:
    from hrdet_cli.runs.rehearsal.rehearsal import Shape
    from hrdet_cli.specs.loading import LoadedSpec

PANEL = "A rehearsal"
MOST_PROCESSES = 4096

RehearseOption = Annotated[
    str | None,
    typer.Option(
        "--rehearse",
        metavar="NODESxGPUS",
        help="Plan the run for so many machines with so many GPUs each, here and now, and stop.",
        rich_help_panel=PANEL,
    ),
]
NetworkOption = Annotated[
    list[str] | None,
    typer.Option(
        "--network",
        metavar="46us,20GB/s|FILE",
        help="Latency and bandwidth of an all-reduce, or what hrdet doctor --json wrote; repeatable.",
        rich_help_panel=PANEL,
    ),
]
RateOption = Annotated[
    float | None,
    typer.Option(
        "--rate",
        metavar="IMAGES",
        min=0.001,
        help="Pictures a second that one GPU trains by itself; default this machine's device, and of "
        "--dry-run what such steps took before.",
        rich_help_panel=PANEL,
    ),
]


def parse_shape(text: str) -> "Shape":
    """Of ``8x8``: nodes and GPUs of each.

    Raises:
        SpecError: It is something else.
    """
    from hrdet_cli.runs.rehearsal.rehearsal import Shape

    found = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,2})", text)
    if found is None:
        raise SpecError([f"--rehearse {text}: is to be NODESxGPUS, such as 8x8"])
    shape = Shape(int(found[1]), int(found[2]))
    if not 1 < shape.num_processes <= MOST_PROCESSES:
        raise SpecError(
            [f"--rehearse {text}: is for 2 to {MOST_PROCESSES} processes; --dry-run plans a run of one"]
        )
    return shape


def rehearse_run(
    loaded: "LoadedSpec",
    shape: "Shape",
    *,
    networks: Sequence[str],
    rate: float | None,
    run_dir: Path | None,
    as_json: bool,
) -> None:
    """Plan a run, show it, and write it into the run folder where one was named."""
    refuse_missing_data(loaded.spec.data, ("train", "val"))
    load_torch()
    from hrdet_cli.cli.display.console import stdout_console
    from hrdet_cli.cli.display.progress import drive_work
    from hrdet_cli.cli.display.rehearsal import draw_rehearsal_tables
    from hrdet_cli.runs.output_files import refuse_unwritable_folder
    from hrdet_cli.runs.rehearsal.files import save_rehearsal
    from hrdet_cli.runs.rehearsal.networks import parse_network
    from hrdet_cli.runs.rehearsal.planning import rehearse
    from hrdet_cli.runs.run_folder import RunFolder

    parsed = list(map(parse_network, networks))
    folder = None if run_dir is None else RunFolder(run_dir)
    if folder is not None:
        folder.refuse_if_foreign()
        refuse_unwritable_folder(folder.path, option="--run-dir")
    rehearsal = drive_work(rehearse(loaded, shape, networks=parsed, rate=rate))
    if as_json:
        typer.echo(json.dumps(rehearsal.to_json(), indent=2, ensure_ascii=False))
    else:
        stdout_console().print(draw_rehearsal_tables(rehearsal))
    if folder is not None:
        for file in save_rehearsal(rehearsal, folder):
            typer.echo(file, err=as_json)
