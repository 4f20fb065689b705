"""What is wrong with data: a line for each problem, a table of their kinds, and a verdict."""

import itertools

from rich.console import Console
from rich.table import Table
from rich.text import Text

from hrdet_cli.cli.display.console import plain_table, print_line
from hrdet_cli.cli.display.plan import describe_anchors
from hrdet_cli.engine.data.checking.problems import MEETS_IT, Problem
from hrdet_cli.runs.check_data.report import DataReport, PartReport, WrittenFile
from hrdet_cli.wording import command, counted

_STYLES = {"error": "bold red", "warning": "yellow"}
_TITLES = {"train": "training data", "val": "validation data"}


def print_report(report: DataReport, console: Console) -> None:
    """Print the parts one below the other, and what became of the cleaned file."""
    for part in report.parts:
        _print_problems(part, console)
        if part.part is not None:
            console.print(Text(f"{_TITLES[part.part]}{_number(part)}", style="bold"))
        console.print(_overview(part))
        if part.counts:
            console.print()
            console.print(_draw_kinds(part))
        for note in part.notes:
            console.print()
            print_line(console, Text.assemble(("note: ", "bold cyan"), note.what))
        console.print()
    if report.cleaned is not None:
        print_line(console, _written(report.cleaned))
    elif report.why_not_cleaned is None:
        for part in report.parts:
            _print_remedy(part, console)
    if report.anchors is not None:
        print_line(console, Text.assemble(("anchors: ", "bold"), describe_anchors(report.anchors)))
    print_line(console, _verdict(report))


def _print_problems(part: PartReport, console: Console) -> None:
    """Problems kind by kind: folded beside their severity in a terminal, exactly a line each in a pipe."""
    if not part.problems:
        return
    lines = Table.grid(padding=(0, 1))
    for kind, group in itertools.groupby(part.problems, key=lambda problem: problem.kind):
        problems = list(group)
        texts = [_describe(problem, part) for problem in problems]
        num_more = part.counts[kind] - sum(problem.count for problem in problems)
        if num_more:
            more = f"{num_more} more of the kind '{kind.name}'; --show 0 shows all"
            texts.append(Text(_in_part(part) + more, style="dim"))
        for text in texts:
            if console.is_terminal:
                lines.add_row(Text(kind.severity, style=_STYLES[kind.severity]), text)
            else:
                console.file.write(f"{kind.severity}: {text.plain}\n")
    if console.is_terminal:
        console.print(lines)
    console.print()


def _describe(problem: Problem, part: PartReport) -> Text:
    where = f"{problem.file}: " if not problem.item else f"{problem.file}: {problem.item}: "
    return Text.assemble((_in_part(part) + where, "bold"), problem.what, (f" -> {problem.kind.fix}", "dim"))


def _in_part(part: PartReport) -> str:
    """What a line begins with where there are several parts: their files may have the same names."""
    name = part.part or part.split
    return "" if name is None else f"{name}{_number(part)}: "


def _number(part: PartReport) -> str:
    return "" if part.number is None else f" {part.number}"


def _overview(part: PartReport) -> Table:
    """What was looked at."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", overflow="fold")
    table.add_column()
    categories = counted(part.num_categories, "category", "categories")
    table.add_row(
        part.annotations.name if part.split is None else f"{part.annotations.name} ({part.split})",
        f"{counted(part.num_pictures, 'picture')} ({part.num_pictures_without_boxes:,} without boxes), "
        f"{counted(part.num_annotations, 'annotation')}, "
        f"{categories} ({part.num_categories_without_boxes:,} without boxes)",
    )
    if part.images is None:
        table.add_row("pictures", "not looked at; give IMAGES too")
        return table
    how = "all opened" if part.opened else "looked for, none opened"
    table.add_row(part.images.name, f"{how}; {counted(part.num_unnamed_pictures or 0, 'picture')} not named")
    if part.label_maps is not None:
        table.add_row(part.label_maps.name, f"label maps; {how}")
    return table


def _draw_kinds(part: PartReport) -> Table:
    table = plain_table()
    table.add_column("")
    table.add_column("problem", overflow="fold")
    table.add_column("count", justify="right")
    table.add_column("--fix-out", style="dim")
    for kind, count in part.counts.items():
        table.add_row(Text(kind.severity, style=_STYLES[kind.severity]), kind.name, f"{count:,}", kind.fix)
    return table


def _print_remedy(part: PartReport, console: Console) -> None:
    """The command that mends a part, where one does."""
    if not part.num_errors or not part.can_be_mended:
        return
    mended = part.annotations.with_name(f"{part.annotations.stem}-mended.json")
    words = command("hrdet", "check-data", *part.arguments, "--fix-out", mended)
    print_line(console, Text(f"a copy that training takes: {words}"))


def _written(cleaned: WrittenFile) -> Text:
    changed = counted(cleaned.num_annotations_changed, "annotation")
    if cleaned.num_pictures_changed:
        changed = f"{counted(cleaned.num_pictures_changed, 'picture')} and {changed}"
    return Text(
        f"wrote {cleaned.path}: {counted(cleaned.num_pictures_left_out, 'picture')} and "
        f"{counted(cleaned.num_annotations_left_out, 'annotation')} left out, {changed} changed"
    )


def _verdict(report: DataReport) -> Text:
    num_problems = sum(sum(part.counts.values()) for part in report.parts)
    num_warnings = num_problems - report.num_errors
    num_notes = sum(len(part.notes) for part in report.parts)
    if num_notes and not report.num_errors:
        notes = "the note" if num_notes == 1 else "the notes"
        return Text(f"no errors, {counted(num_warnings, 'warning')}; but see {notes} above", style="bold")
    if not num_problems:
        return Text("nothing wrong", style="bold green")
    if not report.num_errors:
        return Text(f"{counted(num_warnings, 'warning')}; training takes these data", style="bold")
    counts = f"{counted(report.num_errors, 'error')}, {counted(num_warnings, 'warning')}"
    errors = {kind for part in report.parts for kind in part.counts if kind.is_error}
    if all(kind.training == MEETS_IT for kind in errors):
        what = "training ends where it meets such a picture (data.broken_pictures says how)"
    else:
        what = "training refuses these data"
    return Text(f"{counts}; {what}", style="bold")
