"""The tables of a report."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hrdet_cli.engine.evaluation.analysis.calibration import Calibration
from hrdet_cli.engine.evaluation.analysis.confusion import Confusion
from hrdet_cli.engine.evaluation.analysis.errors import KINDS, ErrorKind
from hrdet_cli.engine.evaluation.analysis.slices import Slice, SliceAxis
from hrdet_cli.engine.evaluation.comparison import Task
from hrdet_cli.pages.blocks import Cell, Column, Table
from hrdet_cli.runs.evaluation_report.subject import FEW_OBJECTS, NOTHING, Subject, count_by_class
from hrdet_cli.wording import counted, shortened

MOST_CLASSES_IN_MATRIX = 12
_MOST_CONFUSED = 25
_NAME_LENGTH = 16

MEANINGS: Mapping[ErrorKind, str] = {
    "class": "the box is right, the class is not",
    "location": "the class is right, the box overlaps the object too little (IoU 0.1 to 0.5)",
    "both": "another class, and the box overlaps too little",
    "duplicate": "a second detection of an object that is found already",
    "background": "nothing is there, or nothing that is annotated",
    "missed": "an object that no detection finds, not even one of a class or location error",
}


def table_numbers(subject: Subject) -> Table:
    """COCO's numbers, or LVIS's, a row each of boxes and of masks."""
    numbers = subject.metrics.numbers
    names = list(numbers["box"])
    rows = [
        [f"{task} AP" if len(numbers) > 1 else "boxes", *(number(of_task[name]) for name in names)]
        for task, of_task in numbers.items()
    ]
    return Table("All numbers", [Column(""), *(Column(name, "number") for name in names)], rows)


def table_errors(subject: Subject, task: Task) -> Table:
    """A row for each kind of error, the costliest first."""
    analysis = subject.analyses[task]
    counts = count_by_class(analysis).num_false
    costs = analysis.costs
    highest = max(cost.average_precision for cost in costs.values())
    rows: list[list[str | Cell]] = []
    for kind in sorted(KINDS, key=lambda kind: (-costs[kind].average_precision, -costs[kind].number)):
        cost = costs[kind]
        share = cost.average_precision / highest if highest > 0 else 0.0
        rows.append(
            [
                kind,
                Cell(f"{cost.average_precision:.3f}", bar=share),
                f"{int(counts[kind].sum()):,}",
                f"{cost.number:,}",
                MEANINGS[kind],
            ]
        )
    columns = [
        Column("error"),
        Column("costs AP50", "number", hint="by how much AP50 would rise if all of these were mended"),
        Column(f"from {analysis.min_score:.2f} on", "number", hint="how many, with scores as in use"),
        Column("of any score", "number", hint="how many, with every detection that counts for AP"),
        Column("what it is"),
    ]
    note = (
        "Each kind is mended by itself, so that the costs do not add up to what is missing to 1. A kind with "
        "many errors of low scores may cost little. From the score on that is best for use, objects that are "
        "only found below it are missed too."
    )
    return Table(f"Errors{subject.of(task)}, by what they cost", columns, rows, note)


def table_classes(subject: Subject) -> Table:
    """A row for each class that has objects."""
    counts = count_by_class(subject.boxes)
    number_by_label = np.argsort(subject.boxes.prepared.labels)
    tasks = subject.metrics.tasks
    rows: list[list[str | Cell]] = []
    for label, name in enumerate(subject.class_names):
        place = int(number_by_label[label])
        num_objects = int(counts.num_objects[place])
        if not num_objects:
            continue
        precisions = [_ap(metrics.classes[name].average_precision) for metrics in tasks.values()]
        rows.append(
            [
                name,
                *precisions,
                number(tasks["box"].classes[name].average_precision_50),
                _objects(num_objects),
                f"{int(counts.num_pictures[place]):,}",
                f"{counts.num_found[place] / num_objects:.0%}",
                *(_errors(int(counts.num_false[kind][place])) for kind in KINDS),
            ]
        )
    rows.sort(key=lambda row: float(row[1].order or 0) if isinstance(row[1], Cell) else 0)
    headings = ["AP"] if len(tasks) == 1 else ["box AP", "mask AP"]
    columns = [
        Column("class"),
        *(Column(heading, "number") for heading in headings),
        Column("AP50", "number"),
        Column("objects", "number"),
        Column("pictures", "number"),
        Column("found", "number", hint="share of the objects that are found"),
        *(Column(kind, "number", hint=MEANINGS[kind]) for kind in KINDS),
    ]
    num_without = len(subject.class_names) - len(rows)
    note = (
        f"Found and what is behind it is of detections from a score of {subject.boxes.min_score:.2f} on; "
        "false detections stand with the class that they name."
    )
    if num_without:
        note += f" {counted(num_without, 'class', 'classes')} without objects left out."
    return Table("Classes, the weakest first", columns, rows, note, is_sortable=True)


def table_confusion(subject: Subject, task: Task) -> Table | None:
    """The whole matrix of a few classes; of many, the pairs that are confused most, None without any."""
    confusion = subject.analyses[task].confusion
    present = [number for number in range(len(confusion.counts) - 1) if _is_in(confusion, number)]
    if len(present) <= MOST_CLASSES_IN_MATRIX:
        return _matrix(subject, task, confusion, present)
    rows: list[list[str | Cell]] = [
        [
            subject.name_of(pair.true),
            subject.name_of(pair.found),
            f"{pair.number:,}",
            Cell(f"{pair.share:.0%}", order=pair.share, bar=pair.share),
        ]
        for pair, _ in zip(confusion.most_confused(), range(_MOST_CONFUSED), strict=False)
    ]
    if not rows:
        return None
    columns = [
        Column("objects of"),
        Column("taken for"),
        Column("objects", "number"),
        Column("of the class", "number", hint="share of all objects of the class"),
    ]
    note = f"The {_MOST_CONFUSED} pairs with the most objects." if len(rows) == _MOST_CONFUSED else ""
    return Table(f"Most confused classes{subject.of(task)}", columns, rows, note, is_sortable=True)


def _is_in(confusion: Confusion, number: int) -> bool:
    return bool(confusion.counts[number].any() or confusion.counts[:, number].any())


def _matrix(subject: Subject, task: Task, confusion: Confusion, present: Sequence[int]) -> Table:
    last = len(confusion.counts) - 1
    rows: list[list[str | Cell]] = []
    for true in (*present, last):
        total = int(confusion.counts[true].sum())
        name = "no object" if true == last else subject.name_of(true)
        cells = [
            _count(int(confusion.counts[true, found]), total, is_right=true == found, is_blank=true == last)
            for found in (*present, last)
        ]
        rows.append([name, *cells])
    rows[-1][-1] = ""
    headings = [shortened(subject.name_of(number), _NAME_LENGTH) for number in present]
    columns = [
        Column("objects of"),
        *(Column(heading, "number") for heading in headings),
        Column("not found", "number"),
    ]
    note = (
        "A row is a class of objects, a column what detections take them for; bars are shares of the row. In "
        "the last row are detections of background, beside an object, or of one that is found already."
    )
    return Table(f"What objects{subject.of(task)} are taken for", columns, rows, note)


def _count(count: int, total: int, *, is_right: bool, is_blank: bool) -> Cell:
    if not count:
        return Cell("·", order=0, tone="muted")
    share = count / total
    return Cell(
        f"{count:,}",
        bar=None if is_blank else share,
        tone="good" if is_right else "plain",
        hint="" if is_blank else f"{share:.0%}",
    )


def table_calibration(calibration: Calibration, *, of: str) -> Table:
    """A row for each step of the score."""
    rows = [
        [
            f"{one.low:.1f} to {one.high:.1f}",
            f"{one.number:,}",
            f"{one.mean_score:.0%}" if one.number else NOTHING,
            Cell(f"{one.share_right:.0%}", bar=one.share_right) if one.number else NOTHING,
        ]
        for one in reversed(calibration.bins)
    ]
    columns = [
        Column("score"),
        Column("detections", "number"),
        Column("mean score", "number"),
        Column("right", "number", hint="share of them that are right, at IoU 0.50"),
    ]
    return Table(f"Scores{of}", columns, rows)


def tables_of_slices(subject: Subject, task: Task) -> Iterator[Table]:
    """A table for each property."""
    for axis in subject.analyses[task].axes:
        yield _table_of(axis, of=subject.of(task).removeprefix(" of "))


def _table_of(axis: SliceAxis, *, of: str) -> Table:
    is_of_pictures = axis.parts == "pictures"
    rows = [_row(one, is_of_pictures=is_of_pictures) for one in axis.slices]
    columns = [
        Column(axis.name),
        *([Column("pictures", "number")] if is_of_pictures else []),
        Column("objects", "number"),
        Column("AP", "number"),
        Column("AP50", "number"),
        Column("found", "number", hint="share of the objects that are found, with scores as in use"),
    ]
    return Table(f"By {axis.name}" + (f" ({of})" if of else ""), columns, rows)


def _row(one: Slice, *, is_of_pictures: bool) -> list[str | Cell]:
    return [
        one.name,
        *([f"{one.num_pictures or 0:,}"] if is_of_pictures else []),
        _objects(one.num_objects),
        _ap(one.average_precision),
        number(one.average_precision_50),
        NOTHING if one.share_found is None else f"{one.share_found:.0%}",
    ]


def _objects(count: int) -> Cell:
    """A number of objects; where they are few, what is measured of them is muted."""
    if count >= FEW_OBJECTS:
        return Cell(f"{count:,}")
    return Cell(f"{count:,}", tone="muted", hint="few: what is measured of them is mostly chance")


def _errors(count: int) -> Cell:
    return Cell(f"{count:,}") if count else Cell("·", order=0, tone="muted")


def _ap(value: float | None) -> Cell:
    if value is None:
        return Cell(NOTHING, tone="muted")
    return Cell(f"{value:.3f}", order=value, bar=value)


def number(value: float | None) -> str:
    """Three decimals, or a dash where there is nothing to average."""
    return NOTHING if value is None else f"{value:.3f}"
