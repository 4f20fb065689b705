"""Suspect annotations in a terminal or a pipe: a line each."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hrdet_cli.cli.display.console import Name, plain_table, shown_path
from hrdet_cli.engine.evaluation.analysis.suspects import KINDS
from hrdet_cli.runs.suspect_review import ReviewedSuspect, SuspectReview
from hrdet_cli.wording import counted


def print_review(review: SuspectReview, console: Console, *, num_shown: int | None) -> None:
    """Print what is open, kind by kind, and how much of each is settled.

    Args:
        review: What to print.
        console: Where.
        num_shown: How many of each kind; None prints all.
    """
    for kind in KINDS:
        of_kind = [one for one in review.open_ones if one.suspect.kind == kind]
        if not of_kind:
            continue
        console.print(Text(kind, style="bold"))
        shown = of_kind if num_shown is None else of_kind[:num_shown]
        console.print(_draw(shown))
        if len(shown) < len(of_kind):
            console.print(Text(f"{len(of_kind) - len(shown):,} more; --show 0 shows all", style="dim"))
        console.print()
    for number, reason in review.not_drawn.items():
        console.print(Text(f"{number}: not drawn: {reason}", style="yellow"), soft_wrap=True)
    num_settled = len(review.suspects) - len(review.open_ones)
    summary = f"{counted(len(review.open_ones), 'suspect annotation')} of {shown_path(review.annotations)}"
    console.print(Text(f"{summary}, {num_settled:,} settled", style="bold"), soft_wrap=True)
    if review.page is not None:
        console.print(Text(shown_path(review.page), style="dim"), soft_wrap=True)


def _draw(suspects: list[ReviewedSuspect]) -> Table:
    table = plain_table()
    table.add_column("", justify="right", style="dim")
    table.add_column("picture", style="cyan")
    table.add_column("annotation")
    table.add_column("reason", overflow="fold")
    for one in suspects:
        suspect, annotation = one.suspect, one.suspect.annotation
        where = "-" if annotation is None else annotation.place or str(annotation.id)
        table.add_row(str(one.number), Name(suspect.file_name), Name(where, most=40), Text(suspect.reason))
    return table
