"""A comparison as one HTML page."""

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from hrdet_cli.errors import DataError
from hrdet_cli.pages.blocks import (
    Block,
    Details,
    Facts,
    Grid,
    Highlight,
    Highlights,
    Page,
    Section,
    Text,
    Tone,
)
from hrdet_cli.pages.rendering import render_page
from hrdet_cli.runs.compare.course import plot_course
from hrdet_cli.runs.compare.drawn_pictures import draw_differing
from hrdet_cli.runs.compare.report import (
    MAIN_NUMBER,
    DetectorComparison,
    Side,
    SideDifference,
)
from hrdet_cli.runs.compare.tables import (
    plot_classes,
    plot_numbers,
    specs_in_blocks,
    table_classes,
    table_numbers,
    table_pictures,
)
from hrdet_cli.runs.compare.words import about_intervals, conclusions, interval, signed, verdict
from hrdet_cli.runs.output_files import write_text
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.version import __version__
from hrdet_cli.wording import counted

_TONES: dict[str, Tone] = {"better": "good", "worse": "bad"}


def write_page(comparison: DetectorComparison, path: Path) -> Generator[WorkProgress, None, None]:
    """Draw what differs and write the page.

    Args:
        comparison: What was found.
        path: The file.

    Raises:
        OutputError: It cannot be written.
    """
    drawn: list[Section] = []
    for of_side in comparison.differences:
        yield WorkProgress("drawing pictures")
        drawn.append(_pictures(comparison, of_side))
    yield WorkProgress("writing the page")
    write_text(path, render_page(make_page(comparison, drawn)))


def make_page(comparison: DetectorComparison, drawn: Sequence[Section]) -> Page:
    """Put a page together.

    Args:
        comparison: What was found.
        drawn: Sections with pictures.
    """
    letters = [side.letter for side in comparison.sides]
    return Page(
        title=f"{', '.join(letters[1:])} compared with {letters[0]}",
        lead=f"{counted(comparison.data.num_pictures, 'picture')} of {comparison.data.annotations.title}",
        blocks=[
            Highlights([*_highlights(comparison)]),
            Facts([*_facts(comparison.sides)]),
            *(Text(notice, "note") for notice in comparison.notices),
            Text(
                "The interval of a difference is where it lies in 95 of 100 draws of the pictures, of "
                f"{comparison.num_resamples:,}. {about_intervals(comparison)}",
                "remark",
            ),
        ],
        sections=[
            *(_numbers(comparison, of_side) for of_side in comparison.differences),
            *_trainings(comparison),
            *drawn,
        ],
        footer=f"hrdet {__version__}; docs/compare.md tells how to read this page.",
    )


def _highlights(comparison: DetectorComparison) -> Iterator[Highlight]:
    for of_side in comparison.differences:
        letters = f"{of_side.side.letter} - {comparison.baseline.letter}"
        for task, differences in of_side.tasks.items():
            difference = differences.numbers[MAIN_NUMBER]
            if difference is not None:
                words = verdict(comparison.baseline, of_side.side, difference)
                yield Highlight(
                    f"{task} {MAIN_NUMBER}, {letters}",
                    signed(difference.value),
                    f"{words}; 95 % interval {interval(difference)}",
                    _TONES.get(difference.verdict, "plain"),
                )


def _facts(sides: Sequence[Side]) -> Iterator[tuple[str, str]]:
    for side in sides:
        for place, run in enumerate(side.runs, start=1):
            name = side.letter if len(side.runs) == 1 else f"{side.letter}, run {place}"
            described = run.results.described
            yield name, run.results.source + (f" ({described})" if described else "")


def _numbers(comparison: DetectorComparison, of_side: SideDifference) -> Section:
    blocks: list[Block] = [Text("\n".join(conclusions(comparison, of_side)))]
    for task in of_side.tasks:
        plots = [*plot_numbers(comparison, of_side, task), *plot_classes(comparison, of_side, task)]
        blocks += [Grid(plots)] if plots else []
        blocks.append(table_numbers(comparison, of_side, task))
        blocks.append(table_classes(comparison, of_side, task))
    return Section(f"{of_side.side.letter} against {comparison.baseline.letter}", blocks)


def _trainings(comparison: DetectorComparison) -> Iterator[Section]:
    plots, blocks = [*plot_course(comparison)], list[Block]()
    if plots:
        blocks.append(Grid(plots))
    blocks += specs_in_blocks(comparison)
    if blocks:
        yield Section("Trainings and specs", blocks)


def _pictures(comparison: DetectorComparison, of_side: SideDifference) -> Section:
    letters = comparison.baseline.letter, of_side.side.letter
    title = f"Pictures on which {letters[0]} and {letters[1]} differ most"
    if not of_side.pictures:
        return Section(title, [Text("They make as many errors in every picture.")])
    runs = comparison.baseline.runs[0], of_side.side.runs[0]
    scores = (f"{letter} from {run.min_score:.2f} on" for letter, run in zip(letters, runs, strict=True))
    lead = (
        f"Detections are taken from the score on at which F1 is best: {', '.join(scores)}. A box is right at "
        "an overlap (IoU) of one half with an object of its class."
    )
    try:
        blocks = [*draw_differing(comparison, of_side)]
    except DataError as error:
        blocks = [Text(f"They cannot be drawn: {error}", "note")]
    num_listed = counted(len(of_side.pictures), "picture")
    blocks.append(Details(f"{num_listed} as a table", [table_pictures(comparison, of_side)]))
    return Section(title, blocks, lead)
