"""The sections of a report."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hrdet_cli.engine.evaluation.analysis.suspects import KINDS, SuspectKind
from hrdet_cli.engine.visualisation.marked_picture import Look, draw_mark_legend
from hrdet_cli.pages.blocks import (
    Block,
    Details,
    Facts,
    Grid,
    Highlight,
    Highlights,
    Items,
    Listing,
    Page,
    Picture,
    Section,
    Text,
)
from hrdet_cli.runs.evaluation_report.findings import what_stands_out
from hrdet_cli.runs.evaluation_report.plots import (
    has_curves,
    plot_calibration,
    plot_classes,
    plot_overlaps,
)
from hrdet_cli.runs.evaluation_report.subject import NOTHING, Subject
from hrdet_cli.runs.evaluation_report.tables import (
    number,
    table_calibration,
    table_classes,
    table_confusion,
    table_errors,
    table_numbers,
    tables_of_slices,
)
from hrdet_cli.runs.suspect_list import SuspectList
from hrdet_cli.version import __version__
from hrdet_cli.wording import command, counted

_HEADLINES = ("AP", "AP50", "AP75")

_LEGEND: Mapping[Look, str] = {
    "right": "right",
    "taken for another": "class error",
    "misplaced": "location error, or both",
    "repeated": "duplicate",
    "false": "background",
    "missed": "missed, or what an error is about",
}

_REASONS: Mapping[SuspectKind, tuple[str, str]] = {
    "box missing": ("Boxes missing?", "Detected with confidence, and nothing is annotated there."),
    "class": ("Another class?", "The box is right, and the detector is sure of another class."),
    "place": ("Another place?", "The class is detected beside the box, and nothing finds the box itself."),
    "nothing there": ("Nothing there?", "No detection comes near, though most others like it are found."),
    "labelled twice": ("Labelled twice?", "Two boxes at one place."),
}


def make_page(
    subject: Subject,
    *,
    worst: Sequence[Picture],
    suspects: SuspectList,
    drawn: Mapping[SuspectKind, Sequence[Picture]],
    suspects_file: Path,
) -> Page:
    """Put a report together.

    Args:
        subject: What it is about.
        worst: The worst pictures, drawn.
        suspects: All of them.
        drawn: The first ones of each kind.
        suspects_file: That holds all.
    """
    return Page(
        title=f"Evaluation of {subject.origin.short_title}",
        lead=f"{subject.origin.weights} on {subject.origin.title}",
        blocks=[
            Highlights(list(_highlights(subject))),
            *_notices(subject),
            *_standing_out(subject, len(suspects.suspects)),
            Details("What was evaluated", [Facts(_facts(subject))]),
        ],
        sections=[
            _numbers(subject),
            _errors(subject),
            _classes(subject),
            _confusion(subject),
            _scores(subject),
            _slices(subject),
            _worst(subject, worst),
            _suspects(suspects, drawn, suspects_file),
        ],
        footer=f"hrdet {__version__}; docs/report.md tells how to read this page.",
    )


def _highlights(subject: Subject) -> Iterator[Highlight]:
    for task, numbers in subject.metrics.numbers.items():
        prefix = f"{task} " if len(subject.metrics.numbers) > 1 else ""
        for name in _HEADLINES if task == "box" else _HEADLINES[:2]:
            yield Highlight(f"{prefix}{name}", number(numbers[name]))
    point = subject.boxes.operating_point
    if point is None:
        yield Highlight("best F1", NOTHING, "no detection is right")
    else:
        yield Highlight(
            "best F1",
            f"{point.f1:.2f}",
            f"from a score of {point.score:.2f} on: {point.precision:.0%} of detections right, "
            f"{point.recall:.0%} of objects found",
        )
    yield Highlight(
        "objects",
        f"{int(subject.boxes.matching.counts.sum()):,}",
        f"in {counted(subject.origin.num_pictures, 'picture')}",
    )


def _notices(subject: Subject) -> Iterator[Block]:
    for notice in subject.notices:
        yield Text(notice, "note")


def _standing_out(subject: Subject, num_suspects: int) -> Iterator[Block]:
    sentences = what_stands_out(subject, num_suspects=num_suspects)
    if sentences:
        yield Items(sentences)


def _facts(subject: Subject) -> list[tuple[str, str]]:
    origin = subject.origin
    trained = f"{origin.step:,} steps" if origin.step is not None else NOTHING
    facts = [
        ("weights", origin.weights),
        ("trained for", trained),
        ("annotations", origin.title),
        ("pictures", f"{origin.images} ({origin.num_pictures:,})"),
        ("computed in", origin.precision or NOTHING),
        (
            "rules",
            "LVIS's: 300 detections a picture" if subject.is_lvis else "COCO's: 100 detections a class",
        ),
    ]
    facts += [(f"changed: {key}", str(value)) for key, value in origin.changes.items()]
    return facts


def _numbers(subject: Subject) -> Section:
    blocks: list[Block] = [table_numbers(subject)]
    for task, metrics in subject.metrics.tasks.items():
        if has_curves(metrics):
            of = subject.of(task)
            blocks.append(Grid([plot_overlaps(metrics, of=of), plot_classes(metrics, of=of)]))
    lead = (
        "AP is the mean precision over recalls, classes, and overlaps (IoU) of 0.50 to 0.95. "
        "A curve that ends early stands for objects that are never found; one that starts low, for false "
        "detections with high scores."
    )
    return Section("Numbers and curves", blocks, lead)


def _errors(subject: Subject) -> Section:
    return Section(
        "Errors",
        [table_errors(subject, task) for task in subject.analyses],
        "Every false detection and every missed object is one of six kinds of error (TIDE). A kind costs as "
        "much as AP50 would rise if all of its errors were mended.",
    )


def _classes(subject: Subject) -> Section:
    return Section(
        "Classes",
        [table_classes(subject)],
        "Click a heading to sort. A class with few objects has an AP that is mostly chance; of one with few "
        "pictures training had few as well.",
    )


def _confusion(subject: Subject) -> Section:
    nothing = Text("No class is taken for another.")
    return Section(
        "Confusion",
        [table_confusion(subject, task) or nothing for task in subject.analyses],
        f"Detections from a score of {subject.boxes.min_score:.2f} on, each with the object that it overlaps "
        "by one half or more, whatever the classes.",
    )


def _scores(subject: Subject) -> Section:
    blocks: list[Block] = []
    for task, analysis in subject.analyses.items():
        calibration, of = analysis.calibration, subject.of(task)
        table = table_calibration(calibration, of=of)
        if not calibration.number:
            blocks.append(table)
            continue
        blocks.append(Grid([plot_calibration(calibration, of=of), table]))
        blocks.append(
            Text(
                f"Expected calibration error{of}: {calibration.expected_error:.3f}, the mean distance of "
                "scores and shares over all detections.",
                "remark",
            )
        )
    lead = (
        "Of detections with a score of 0.8, eight in ten should be right. Below the line scores promise too "
        "much, above it too little. AP does not depend on that: it looks at the order of scores alone."
    )
    return Section("Scores", blocks, lead)


def _slices(subject: Subject) -> Section:
    blocks: list[Block] = []
    for task in subject.analyses:
        tables = list(tables_of_slices(subject, task))
        if tables:
            blocks.append(Grid(tables))
    if not blocks:
        blocks.append(Text("The objects and pictures of these data differ in nothing that is looked at."))
    lead = (
        "AP of parts of the data. Sizes are edges of a square of the object's area, in pixels; "
        "useful pixels are the share of the detector's canvas that is picture and not padding."
    )
    return Section("Slices", blocks, lead)


def _worst(subject: Subject, worst: Sequence[Picture]) -> Section:
    if not worst:
        return Section("Worst pictures", [Text("No picture has an error.")])
    lead = (
        f"Pictures with most that is missed or false among detections from a score of "
        f"{subject.boxes.min_score:.2f} on."
    )
    legend = Picture(draw_mark_legend(_LEGEND), "What is drawn", alt="; ".join(_LEGEND.values()))
    return Section("Worst pictures", [legend, Grid(worst)], lead)


def _suspects(
    suspects: SuspectList, drawn: Mapping[SuspectKind, Sequence[Picture]], suspects_file: Path
) -> Section:
    if not suspects.suspects:
        return Section("Suspect annotations", [Text("The detector contradicts no annotation.")])
    blocks: list[Block] = []
    for kind in KINDS:
        of_kind = [suspect for suspect in suspects.suspects if suspect.kind == kind]
        if of_kind:
            title, meaning = _REASONS[kind]
            pictures = drawn.get(kind, ())
            shown = "" if len(of_kind) == len(pictures) else f", of which the first {len(pictures)} are shown"
            blocks.append(Text(f"{title} {counted(len(of_kind), 'suspect')}{shown}. {meaning}"))
            blocks.append(Grid(pictures, "medium"))
    blocks.append(
        Details(
            "How to go through all of them",
            [
                Text(
                    f"{suspects_file.name} beside this page lists all of them. This command draws them, and "
                    "tells which are settled after annotations were changed:"
                ),
                Listing(command("hrdet", "check-data", "--suspects", suspects_file)),
            ],
        )
    )
    lead = (
        "Annotations that the detector contradicts. It may be wrong: look at each. In colour what is "
        "detected, dashed what is annotated."
    )
    return Section("Suspect annotations", blocks, lead)
