"""The tables of a page, and the plots of what is in them."""

from collections.abc import Iterator, Mapping, Sequence

from hrdet_cli.engine.evaluation.comparison import Task
from hrdet_cli.engine.evaluation.resampling.differences import Difference, Verdict
from hrdet_cli.engine.visualisation.interval_plot import IntervalRow, draw_intervals
from hrdet_cli.engine.visualisation.palette import MUTED, Colour, class_colour
from hrdet_cli.pages.blocks import Block, Cell, Column, Details, Plot, Table, Text, Tone
from hrdet_cli.runs.compare.report import DetectorComparison, SideDifference
from hrdet_cli.runs.compare.spec_differences import SpecDifference
from hrdet_cli.runs.compare.words import NOTHING, about_classes, interval, number, signed, verdict
from hrdet_cli.specs.yaml_text import shown
from hrdet_cli.wording import counted, shortened

_TONES: Mapping[Verdict, Tone] = {"better": "good", "worse": "bad"}
_COLOURS: Mapping[Verdict, Colour] = {"better": class_colour(2), "worse": class_colour(3)}
_VALUE_LENGTH = 60
_MOST_ROWS = 40


def table_numbers(comparison: DetectorComparison, of_side: SideDifference, task: Task) -> Table:
    """All numbers of a task."""
    sides = comparison.baseline, of_side.side
    rows = [
        [name, *(number(side.numbers_of(task, name)) for side in sides), *_cells(comparison, of_side, one)]
        for name, one in of_side.tasks[task].numbers.items()
    ]
    return Table(f"Numbers of {_plural(task)}", [Column("number"), *_columns(comparison, of_side)], rows)


def table_classes(comparison: DetectorComparison, of_side: SideDifference, task: Task) -> Table:
    """Average precision of each class that there is something of."""
    sides = comparison.baseline, of_side.side
    metrics = comparison.baseline.runs[0].metrics.tasks[task]
    known = {name: one["AP"] for name, one in of_side.tasks[task].classes.items() if one["AP"] is not None}
    rows = [
        [
            name,
            f"{metrics.classes[name].num_objects:,}",
            *(number(side.numbers_of_class(task, name)) for side in sides),
            *_cells(comparison, of_side, one),
        ]
        for name, one in known.items()
    ]
    return Table(
        f"AP of {_plural(task)} by class",
        [Column("class"), Column("objects", "number"), *_columns(comparison, of_side)],
        rows,
        note=about_classes([*known.values()]),
        is_sortable=True,
    )


def plot_numbers(comparison: DetectorComparison, of_side: SideDifference, task: Task) -> Iterator[Plot]:
    """The differences of `table_numbers` with their intervals."""
    yield from _plot(comparison, of_side, of_side.tasks[task].numbers, f"Numbers of {_plural(task)}")


def plot_classes(comparison: DetectorComparison, of_side: SideDifference, task: Task) -> Iterator[Plot]:
    """Those of `table_classes`, the largest difference first; of many classes both ends."""
    known = [(name, one["AP"]) for name, one in of_side.tasks[task].classes.items() if one["AP"] is not None]
    known.sort(key=lambda pair: -pair[1].value)
    half = _MOST_ROWS // 2
    shown_classes = known if len(known) <= _MOST_ROWS else [*known[:half], *known[-half:]]
    which = (
        "" if len(shown_classes) == len(known) else f", the {half} highest and the {half} lowest differences"
    )
    yield from _plot(comparison, of_side, dict(shown_classes), f"AP of {_plural(task)} by class{which}")


def _plot(
    comparison: DetectorComparison,
    of_side: SideDifference,
    differences: Mapping[str, Difference | None],
    caption: str,
) -> Iterator[Plot]:
    rows = [
        IntervalRow(name, one.value, one.low, one.high, _COLOURS.get(one.verdict, MUTED))
        for name, one in differences.items()
        if one is not None
    ]
    if rows:
        letters = f"{of_side.side.letter} - {comparison.baseline.letter}"
        svg = draw_intervals(rows, x_label=f"{letters}, with 95 % intervals")
        yield Plot(svg, caption, f"{caption}: differences {letters} with their intervals, as in the table")


def table_pictures(comparison: DetectorComparison, of_side: SideDifference) -> Table:
    """What is missed and what is false in the pictures that differ most."""
    letters = comparison.baseline.letter, of_side.side.letter
    counts = [Column(f"{letter}: {what}", "number") for letter in letters for what in ("missed", "false")]
    rows = []
    for picture in of_side.pictures:
        pairs = zip(picture.num_missed, picture.num_false, strict=True)
        numbers = [str(count) for pair in pairs for count in pair]
        rows.append([picture.file_name, str(picture.num_objects), *numbers])
    columns = [Column("picture"), Column("objects", "number"), *counts]
    return Table("Errors in pictures", columns, rows, is_sortable=True)


def specs_in_blocks(comparison: DetectorComparison) -> Iterator[Block]:
    """The keys in which specs differ; those that not all have, as where kinds of sections differ, folded."""
    if comparison.specs is None:
        return
    everywhere = [difference for difference in comparison.specs if difference.is_everywhere]
    elsewhere = [difference for difference in comparison.specs if not difference.is_everywhere]
    if everywhere:
        yield _table_specs("Keys of specs that differ", comparison, everywhere)
    else:
        yield Text("The specs have the same values." if elsewhere else "The specs do not differ.")
    if elsewhere:
        summary = f"{counted(len(elsewhere), 'key')} that not all have"
        table = _table_specs(f"{NOTHING} where a spec has no such key", comparison, elsewhere)
        yield Details(summary, [table])


def _table_specs(
    caption: str, comparison: DetectorComparison, differences: Sequence[SpecDifference]
) -> Table:
    columns = [Column("key", "code"), *(Column(side.letter, "code") for side in comparison.sides)]
    rows: list[list[str | Cell]] = [
        [difference.key, *(_values(values) for values in difference.values)] for difference in differences
    ]
    return Table(caption, columns, rows)


def _values(values: tuple[object, ...]) -> Cell:
    text = ", ".join(map(shown, values)) or NOTHING
    return Cell(shortened(text, _VALUE_LENGTH), hint=text if len(text) > _VALUE_LENGTH else "")


def _columns(comparison: DetectorComparison, of_side: SideDifference) -> list[Column]:
    baseline, other = comparison.baseline.letter, of_side.side.letter
    return [
        Column(baseline, "number"),
        Column(other, "number"),
        Column(f"{other} - {baseline}", "number"),
        Column("95 % interval", "number", hint="95 of 100 resamples of the pictures lie in it"),
        Column("in words"),
    ]


def _cells(
    comparison: DetectorComparison, of_side: SideDifference, difference: Difference | None
) -> list[str | Cell]:
    if difference is None:
        return [NOTHING, NOTHING, ""]
    return [
        Cell(signed(difference.value), order=difference.value),
        Cell(interval(difference), order=difference.low),
        Cell(
            verdict(comparison.baseline, of_side.side, difference),
            tone=_TONES.get(difference.verdict, "muted"),
        ),
    ]


def _plural(task: Task) -> str:
    return "boxes" if task == "box" else "masks"
