"""``hrdet show``."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from hrdet_cli.cli.display.console import print_notices


def show(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.", readable=False)],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Where the page goes; default run.html in the run folder."
        ),
    ] = None,
    opens: Annotated[bool, typer.Option("--open", help="Open it in a browser, too.")] = False,
) -> None:
    """Write the page of a run: losses, AP, speed, pictures, its spec with what set each value, where it ran.

    One HTML file, which needs no network and no other. A run that goes on is shown as far as it is.
    """
    from hrdet_cli.runs.output_files import refuse_unwritable_file
    from hrdet_cli.runs.run_folder import RunFolder
    from hrdet_cli.runs.run_lock import holder_of
    from hrdet_cli.runs.run_page.page import write_run_page

    folder = RunFolder(run)
    folder.require()
    file = folder.page_file if out is None else out
    refuse_unwritable_file(file, option="--out")
    write_run_page(folder, file, holder=holder_of(run))
    typer.echo(f"{file}")
    if opens and not webbrowser.open(file.absolute().as_uri()):
        print_notices([f"no browser could be opened; open {file} in one"])
