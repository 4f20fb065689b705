"""A comparison of detectors as tables of at most 80 columns."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hrdet_cli.cli.display.console import Name, plain_table, shown_path
from hrdet_cli.engine.evaluation.comparison import Task
from hrdet_cli.engine.evaluation.resampling.differences import Difference, Verdict
from hrdet_cli.runs.compare.report import DetectorComparison, Side, SideDifference
from hrdet_cli.runs.compare.words import (
    NOTHING,
    about_classes,
    about_intervals,
    conclusions,
    interval,
    number,
    signed,
    verdict,
)
from hrdet_cli.specs.yaml_text import shown
from hrdet_cli.wording import counted, shortened

MOST_CLASSES = 30
"""So many classes are all listed; of more, those that differ."""
MOST_KEYS, MOST_PICTURES = 30, 5
_NAME_WIDTH, _VALUE_WIDTH = 40, 24
_STYLES: Mapping[Verdict, str] = {"better": "green", "worse": "red", "not distinguishable": "dim"}


def draw_comparison(comparison: DetectorComparison) -> RenderableType:
    """What is compared, each side against the first, in what specs differ, and where to look."""
    return Group(*_parts(comparison))


def _parts(comparison: DetectorComparison) -> Iterator[RenderableType]:
    yield _draw_sides(comparison.sides)
    pictures = counted(comparison.data.num_pictures, "picture")
    yield Text(
        f"{pictures} of {shown_path(comparison.data.annotations.title)}, drawn anew "
        f"{comparison.num_resamples:,} times",
        style="dim",
    )
    for of_side in comparison.differences:
        yield Text()
        yield Text("\n".join(conclusions(comparison, of_side)), style="bold")
        for task in of_side.tasks:
            yield Text()
            yield _draw_numbers(comparison.baseline, of_side, task)
            yield Text()
            yield from _draw_classes(comparison.baseline, of_side, task)
    yield Text()
    yield from _draw_specs(comparison)
    for of_side in comparison.differences:
        if of_side.pictures:
            yield Text()
            yield _draw_pictures(comparison.baseline, of_side)
    yield Text()
    yield Text(about_intervals(comparison), style="dim")


def _draw_sides(sides: Sequence[Side]) -> Table:
    table = plain_table(show_header=False)
    for side in sides:
        for place, run in enumerate(side.runs):
            letter = Text("" if place else side.letter, style="bold")
            table.add_row(letter, Name(run.results.source), run.results.described)
    return table


def _draw_numbers(baseline: Side, of_side: SideDifference, task: Task) -> Table:
    table = _table_of_differences(task, baseline, of_side)
    for name, difference in of_side.tasks[task].numbers.items():
        values = [number(side.numbers_of(task, name)) for side in (baseline, of_side.side)]
        _add(table, name, values, difference, baseline, of_side)
    return table


def _draw_classes(baseline: Side, of_side: SideDifference, task: Task) -> Iterator[RenderableType]:
    """All of few classes; of many, those that differ, and how many do not."""
    aps = {name: of_class["AP"] for name, of_class in of_side.tasks[task].classes.items()}
    known = {name: difference for name, difference in aps.items() if difference is not None}
    listed = known
    if len(known) > MOST_CLASSES:
        differing = [name for name, one in known.items() if one.verdict in ("better", "worse")]
        largest = sorted(differing, key=lambda name: -abs(known[name].value))[:MOST_CLASSES]
        listed = {name: known[name] for name in sorted(largest, key=lambda name: -known[name].value)}
        num_few = sum(one.verdict == "too few pictures" for one in known.values())
        num_alike = len(known) - len(differing) - num_few
        few = f", and {num_few} are in too few pictures to tell" if num_few else ""
        yield Text(f"{num_alike} of {len(known)} classes are not distinguishable by {task} AP{few}")
    if listed:
        table = _table_of_differences(f"{task} AP", baseline, of_side)
        for name, difference in listed.items():
            values = [number(side.numbers_of_class(task, name)) for side in (baseline, of_side.side)]
            _add(table, name, values, difference, baseline, of_side)
        yield table
    if note := about_classes([*known.values()]):
        yield Text(note, style="dim")


def _table_of_differences(heading: str, baseline: Side, of_side: SideDifference) -> Table:
    table = plain_table()
    table.add_column(heading, style="cyan")
    letters = baseline.letter, of_side.side.letter
    for title in (*letters, f"{letters[1]} - {letters[0]}"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("95 % interval", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    return table


def _add(
    table: Table,
    name: str,
    values: Sequence[str],
    difference: Difference | None,
    baseline: Side,
    of_side: SideDifference,
) -> None:
    if difference is None:
        table.add_row(Name(name, most=_NAME_WIDTH), *values, NOTHING, "", "")
        return
    words = Text(verdict(baseline, of_side.side, difference), style=_STYLES.get(difference.verdict, ""))
    numbers = (*values, signed(difference.value), interval(difference))
    table.add_row(Name(name, most=_NAME_WIDTH), *numbers, words)


def _draw_specs(comparison: DetectorComparison) -> Iterator[RenderableType]:
    """Keys that all specs have; how many only some have, which is so where kinds of sections differ."""
    if comparison.specs is None:
        return
    if not comparison.specs:
        yield Text("their specs do not differ")
        return
    yield Text(f"their specs differ in {counted(len(comparison.specs), 'key')}")
    table = plain_table(show_header=False)
    table.add_row("", *(Text(side.letter, style="bold") for side in comparison.sides))
    everywhere = [difference for difference in comparison.specs if difference.is_everywhere]
    for difference in everywhere[:MOST_KEYS]:
        cells = (shortened(", ".join(map(shown, values)), _VALUE_WIDTH) for values in difference.values)
        table.add_row(Text(difference.key, style="cyan"), *cells)
    yield table
    num_left_out = len(comparison.specs) - len(everywhere[:MOST_KEYS])
    if num_left_out:
        yield Text(
            f"and {counted(num_left_out, 'key')} that not all have; --json and --html have them"
            if len(everywhere) <= MOST_KEYS
            else f"and {counted(num_left_out, 'more key')}; --json and --html have them",
            style="dim",
        )


def _draw_pictures(baseline: Side, of_side: SideDifference) -> RenderableType:
    table = plain_table()
    table.add_column("pictures with most differing errors", style="cyan")
    table.add_column("objects", justify="right")
    for side in (baseline, of_side.side):
        table.add_column(f"{side.letter}: missed", justify="right")
        table.add_column("false", justify="right")
    for picture in of_side.pictures[:MOST_PICTURES]:
        pairs = zip(picture.num_missed, picture.num_false, strict=True)
        counts = [str(count) for pair in pairs for count in pair]
        table.add_row(Name(picture.file_name, most=_NAME_WIDTH), str(picture.num_objects), *counts)
    return table
