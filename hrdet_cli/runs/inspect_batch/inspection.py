"""The main path of ``hrdet inspect-batch``."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hrdet_cli.activity import doing
from hrdet_cli.engine.data.batch import load_batch
from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.errors import OutputError
from hrdet_cli.pages.rendering import render_page
from hrdet_cli.runs.anchor_advice import with_fitted_anchors
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.dataset.opening import DataNeeds, open_part
from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.runs.inspect_batch.page import Sheet, make_page
from hrdet_cli.runs.inspect_batch.pictured_batch import PicturedBatch, picture_batch
from hrdet_cli.runs.inspect_batch.pictured_scales import picture_scales
from hrdet_cli.runs.inspect_batch.summary import Summary, summarise
from hrdet_cli.runs.inspect_batch.tables import batch_table, summary_tables
from hrdet_cli.runs.output_files import refuse_unwritable_folder, save_picture, write_text
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.keys import is_within
from hrdet_cli.specs.yaml_text import in_line

_SCALES_FILE, _PAGE_FILE = "scales.png", "index.html"
_BATCH_FILE = re.compile(r"batch-\d+(-rank-\d+)?\.png")
_TOLD = (
    "data.shares",
    "data.batch_size_per_process",
    "augmentation",
    "padding",
    "run.seed",
)
"""What of a spec decides how batches look."""
_TOLD_OF_ANCHORS = ("anchor_scale", "anchor_aspect_ratios")
"""Which anchors meet their boxes."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """Everything that was found out and drawn.

    Attributes:
        batches: By batch, then by rank.
        summary: None for a batch that a run saved: it knows no others.
        files: What was written.
        notices: What the user should be told of the data.
    """

    batches: tuple[PicturedBatch, ...]
    summary: Summary | None
    files: tuple[Path, ...]
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "batches": [batch.to_json() for batch in self.batches],
            "summary": None if self.summary is None else self.summary.to_json(),
            "files": [str(file) for file in self.files],
        }


@doing("drawing batches and counting an epoch")
def inspect_training_batches(
    spec: ExperimentSpec, *, num_batches: int, epoch: int, num_processes: int, out: Path, command: str
) -> Inspection:
    """Draw the first batches of an epoch, exactly as training would see them, and count the others.

    Args:
        spec: The experiment.
        num_batches: How many for each process; fewer if the epoch is shorter.
        epoch: Which epoch, counted from 0.
        num_processes: How many processes there would be.
        out: Folder for the sheets and the page.
        command: What was typed, for the page.

    Raises:
        HrdetError: The data cannot be used, or a file cannot be written.
    """
    refuse_unwritable_folder(out, option="--out")
    data = spec.data.model_copy(update={"num_workers": 0})  # a few batches are sooner made than workers
    spec = spec.model_copy(update={"data": data})
    part = open_part(spec.data, "train", DataNeeds.of(spec.model.head))
    spec = with_fitted_anchors(spec, part.annotations)
    summary = summarise(spec, part.annotations, epoch=epoch, num_processes=num_processes)
    _remove_old_sheets(out)
    batches_by_rank = [
        list(_picture_batches(spec, part, World(rank, num_processes), epoch, num_batches, out))
        for rank in range(num_processes)
    ]
    batches = tuple(batch for step in zip(*batches_by_rank, strict=True) for batch in step)
    scales_file = out / _SCALES_FILE
    save_picture(picture_scales(spec, part, epoch=epoch, num_processes=num_processes), scales_file)
    page = make_page(
        title=f"Padded batches of {spec.name}",
        facts=[("command", command), *_told(spec), ("processes", str(num_processes))],
        tables=summary_tables(summary),
        sheets=[*map(_sheet, batches), Sheet(scales_file, "The same pictures at every scale")],
    )
    write_text(out / _PAGE_FILE, render_page(page))
    files = (*(batch.sheet for batch in batches), scales_file, out / _PAGE_FILE)
    notices = (*part.notices, *(notice for batch in batches for notice in batch.notices))
    return Inspection(batches, summary, files, notices)


def inspect_saved_batch(file: Path, *, out: Path, command: str) -> Inspection:
    """Draw a batch that a stopped run saved.

    Args:
        file: What the run saved.
        out: Folder for the sheet and the page.
        command: What was typed, for the page.

    Raises:
        HrdetError: The file is not a saved batch, or a file cannot be written.
    """
    refuse_unwritable_folder(out, option="--out")
    loaded, class_names = load_batch(file)
    batch = picture_batch(loaded, class_names, out / f"{file.stem}.png")
    page = make_page(
        title=f"The batch in {file.name}",
        facts=[("command", command), ("file", str(file))],
        tables=(),
        sheets=[_sheet(batch)],
    )
    write_text(out / _PAGE_FILE, render_page(page))
    return Inspection((batch,), None, (batch.sheet, out / _PAGE_FILE))


def _remove_old_sheets(out: Path) -> None:
    """Remove the sheets of an earlier inspection: nobody could tell those that are not written again.

    Raises:
        OutputError: One cannot be removed.
    """
    for path in sorted(out.glob("*.png")):
        if path.name == _SCALES_FILE or _BATCH_FILE.fullmatch(path.name):
            try:
                path.unlink()
            except OSError as error:
                raise OutputError(f"{path}: cannot be replaced: {error.strerror}") from error


def _picture_batches(
    spec: ExperimentSpec, part: DatasetPart, world: World, epoch: int, num_batches: int, out: Path
) -> Iterator[PicturedBatch]:
    """Draw one process's first batches."""
    with build_training_loader(spec, part, torch.device("cpu"), world=world) as loader:
        batches = loader.batches(epoch)
        for number, batch in zip(range(1, num_batches + 1), batches, strict=False):
            name = f"batch-{number}" if world.size == 1 else f"batch-{number}-rank-{world.rank}"
            yield picture_batch(batch, part.annotations.class_names, out / f"{name}.png", world=world)


def _told(spec: ExperimentSpec) -> list[tuple[str, str]]:
    """Keys and values that decide how batches look, and which anchors meet their boxes."""
    anchors = spec.model.head.anchors
    told = [*_TOLD, *(f"{anchors.key}.{name}" for name in _TOLD_OF_ANCHORS if anchors is not None)]
    sets = {
        f"{spec.data.key_of('train', number)}.annotations": str(one.annotations)
        for number, one in enumerate(spec.data.training_sets)
    }
    values = {key: value for key, value in spec.values_by_key().items() if is_within(key, told)}
    if spec.data.shares is None:
        del values["data.shares"]
    return [("name", spec.name), *sets.items(), *((key, in_line(value)) for key, value in values.items())]


def _sheet(batch: PicturedBatch) -> Sheet:
    table = batch_table(batch)
    return Sheet(batch.sheet, f"{batch.sheet.stem}: {table.title}", table)
