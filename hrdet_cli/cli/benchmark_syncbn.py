"""``hrdet benchmark-syncbn``."""

import json
from pathlib import Path
from typing import Annotated

import typer

from hrdet_cli.activity import doing
from hrdet_cli.cli.display.console import quieten, stdout_console
from hrdet_cli.cli.options import JsonOption, QuietOption


def benchmark_syncbn(
    network: Annotated[
        str,
        typer.Option("--network", metavar="NAME", help="hrnet-w18, -w32, -w40, -w48, -small or resnet-50."),
    ] = "hrnet-w18",
    processes: Annotated[
        list[int] | None,
        typer.Option(
            "--processes",
            metavar="N",
            min=1,
            help="Processes on this machine; repeatable. Default 2, or as many as there are GPUs.",
        ),
    ] = None,
    sizes: Annotated[
        list[str] | None,
        typer.Option(
            "--sizes",
            metavar="SIZES",
            help="Of the processes' pictures: equal, mixed, or such as 256x160,160x96; repeatable. "
            "Default equal and mixed.",
        ),
    ] = None,
    back_ends: Annotated[
        list[str] | None,
        typer.Option(
            "--back-end",
            metavar="NAME",
            help="coalesced, per-layer, equal-count, torch or apex; repeatable. Default all that run here.",
        ),
    ] = None,
    num_steps: Annotated[
        int, typer.Option("--steps", metavar="N", min=1, help="Steps timed for each back end.")
    ] = 5,
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="cpu or cuda; auto takes two or more GPUs.")
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE.png", help="Draw the cosine to the exact gradient by layer."),
    ] = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
) -> None:
    """Compare back ends of SyncBN: messages, step time, and error against the exact result."""
    quieten(quiet)
    from hrdet_cli.cli.display.syncbn import draw_comparison
    from hrdet_cli.runs.benchmark_syncbn import compare_back_ends, plan_comparison, save_cosines

    plan = plan_comparison(
        network=network,
        device=device,
        nums_processes=processes or [],
        sizes=sizes or ["equal", "mixed"],
        back_ends=back_ends or [],
        num_steps=num_steps,
        out=out,
    )
    with doing(f"measuring {network}, which takes minutes on a CPU"):
        comparison = compare_back_ends(plan)
    if as_json:
        typer.echo(json.dumps(comparison.to_json(), indent=2))
    else:
        stdout_console().print(draw_comparison(comparison))
    if out is not None:
        save_cosines(comparison, out)
        typer.echo(out, err=as_json)
