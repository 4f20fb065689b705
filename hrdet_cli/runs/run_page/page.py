"""The page of a run."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from hrdet_cli.errors import OutputError
from hrdet_cli.pages.blocks import Block, Column, Grid, Highlights, Page, Picture, Section, Table, Text
from hrdet_cli.pages.rendering import render_page
from hrdet_cli.runs.output_files import write_text
from hrdet_cli.runs.rehearsal.outcome import compare_with_run, read_planned
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_page.course import plot_losses, plot_optimisation, plot_precision, plot_speed
from hrdet_cli.runs.run_page.results import class_blocks, evaluation_blocks, highlights_of
from hrdet_cli.runs.run_page.setting import (
    ending_blocks,
    launch_blocks,
    note_blocks,
    plan_blocks,
    spec_blocks,
)
from hrdet_cli.runs.run_page.story import RunStory, read_story
from hrdet_cli.version import __version__
from hrdet_cli.wording import command

_FOUND = (
    ("detections.png", "What was found in some of the validation pictures"),
    ("precision-recall.png", "Precision over recall, boxes"),
    ("precision-recall-masks.png", "Precision over recall, masks"),
)


def write_run_page(folder: RunFolder, out: Path, *, holder: str | None = None) -> None:
    """Read what is on record of a run, and write its page.

    Args:
        folder: The run's.
        out: The file.
        holder: Which process trains in it now, in words; None where none does.

    Raises:
        OutputError: There is no run in the folder, or the page cannot be written.
    """
    write_text(out, render_page(make_run_page(read_story(folder), holder=holder, now=datetime.now(UTC))))


def write_own_page(folder: RunFolder) -> str | None:
    """Write the page of a run that ends into its folder, when all else is on the disk.

    Returns:
        Why it could not be written, in words, which costs the run no more than the page; None where it was.
    """
    try:
        write_run_page(folder, folder.page_file)
    except OutputError as error:
        return f"{error}; to write the page again: {command('hrdet', 'show', folder.path)}"
    return None


def make_run_page(story: RunStory, *, holder: str | None, now: datetime) -> Page:
    """Put the page together.

    Args:
        story: What is on record.
        holder: As of `write_run_page`.
        now: When it was read.
    """
    first = [*ending_blocks(story, holder=holder)]
    if story.history is None:
        first.append(Text("No step is on record yet."))
    sections = (
        Section("Noted", list(note_blocks(story))),
        Section("Results", list(_result_blocks(story))),
        Section("Training", list(_training_blocks(story))),
        Section("What it finds", list(_found(story))),
        Section(
            "What it is trained on", list(_trained_on(story)), "The first batches, as the network gets them."
        ),
        Section("Plan", list(plan_blocks(story))),
        Section("Planned, happened", list(_planned(story))),
        Section("Spec", list(spec_blocks(story))),
        Section("Where it ran", list(launch_blocks(story))),
    )
    highlights = list(highlights_of(story))
    return Page(
        story.name,
        [section for section in sections if section.blocks],
        "" if story.spec is None else story.spec.description,
        [*first, *([Highlights(highlights)] if highlights else [])],
        f"hrdet {__version__}, of {story.folder.path} on {now:%Y-%m-%d %H:%M} UTC",
    )


def _result_blocks(story: RunStory) -> Iterator[Block]:
    if story.history is None:
        return
    blocks: list[Block] = [*plot_precision(story.history), *class_blocks(story)]
    if blocks:
        yield Grid(blocks)
    yield from evaluation_blocks(story.history)
    if not any(story.history.evaluations.values()):
        yield Text("Not evaluated so far.", "remark")


def _training_blocks(story: RunStory) -> Iterator[Block]:
    history = story.history
    if history is not None:
        yield Grid([*plot_losses(history), *plot_optimisation(history), *plot_speed(history)])


def _planned(story: RunStory) -> Iterator[Block]:
    """What a rehearsal said beside what came."""
    planned, history = read_planned(story.folder), story.history
    if planned is None or history is None:
        return
    seconds = history.step_seconds[np.isfinite(history.step_seconds)].tolist()
    memory = history.peak_memory_bytes[np.isfinite(history.peak_memory_bytes)].tolist()
    if seconds and memory:
        outcomes = compare_with_run(
            planned, story.record, step_seconds=seconds, peak_memory_bytes=int(max(memory))
        )
        rows = [(outcome.what, outcome.planned, outcome.happened) for outcome in outcomes]
        columns = [Column("figure"), Column("planned"), Column("happened")]
        yield Table("What hrdet train --rehearse planned", columns, rows)


def _found(story: RunStory) -> Iterator[Picture]:
    for weights in ("raw", "ema"):
        of_average = "" if weights == "raw" else ", by the average of the weights"
        for name, caption in _FOUND:
            file = story.folder.evaluation_of(weights) / name
            if file.is_file():
                yield Picture(file, f"{caption}{of_average}", is_sheet=True)


def _trained_on(story: RunStory) -> Iterator[Picture]:
    """The first batches, by their numbers."""
    found = story.folder.pictures.glob("train-batch-*.png")
    for file in sorted(found, key=lambda path: (len(path.name), path.name)):
        yield Picture(file, f"Batch {file.stem.rpartition('-')[2]}", is_sheet=True)
