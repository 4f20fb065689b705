"""Writes a report: the page, and the list of suspect annotations beside it."""

from pathlib import Path

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.evaluation.analysis.analysis import Analysis
from hrdet_cli.engine.evaluation.analysis.suspects import KINDS, SuspectKind, find_suspects
from hrdet_cli.engine.evaluation.analysis.worst_pictures import worst_pictures
from hrdet_cli.pages.blocks import Picture
from hrdet_cli.pages.rendering import render_page
from hrdet_cli.runs.evaluation_report.page import make_page
from hrdet_cli.runs.evaluation_report.pictures import Read, draw_suspects, draw_worst
from hrdet_cli.runs.evaluation_report.subject import Subject
from hrdet_cli.runs.origin import Origin
from hrdet_cli.runs.output_files import write_text
from hrdet_cli.runs.suspect_list import SuspectList, list_suspects, write_suspects

_NUM_WORST, _NUM_SUSPECTS = 12, 9
"""Pictures shown; suspects of each kind."""


def write_report(
    page: Path, subject: Subject, *, annotations: CocoAnnotations, read: Read
) -> tuple[Path, ...]:
    """Write the page that says why AP is what it is, and the list of suspects.

    Args:
        page: Where the page goes; the list has its name with ``.suspects.json``.
        subject: What they are about.
        annotations: Of its pictures, with their ground truth.
        read: Reads a picture.

    Returns:
        What was written.

    Raises:
        OutputError: It cannot be written.
    """
    suspects = _suspects_of(subject.boxes, annotations, subject.origin)
    list_file = page.with_suffix(".suspects.json")
    worst = worst_pictures(subject.boxes, _NUM_WORST)
    document = make_page(
        subject,
        worst=list(draw_worst(worst, subject, file_names=annotations.file_names, read=read)),
        suspects=suspects,
        drawn={kind: list(_draw_first(suspects, kind, read)) for kind in KINDS},
        suspects_file=list_file,
    )
    write_suspects(list_file, suspects)
    write_text(page, render_page(document))
    return page, list_file


def _suspects_of(analysis: Analysis, annotations: CocoAnnotations, origin: Origin) -> SuspectList:
    found = find_suspects(
        analysis.comparison, analysis.matching, analysis.errors, min_score=analysis.min_score
    )
    return list_suspects(found, analysis, annotations, origin)


def _draw_first(suspects: SuspectList, kind: SuspectKind, read: Read) -> list[Picture]:
    of_kind = [suspect for suspect in suspects.suspects if suspect.kind == kind]
    return list(draw_suspects(of_kind[:_NUM_SUSPECTS], read=read))
