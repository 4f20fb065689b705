"""``hrdet inspect-batch``: draw the batches that training would get."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from hrdet_cli.engine.data.batch import Batch, load_batch
from hrdet_cli.engine.visualisation.batch_sheet import draw_batch_sheet
from hrdet_cli.runs.build import build_training_loader
from hrdet_cli.runs.dataset import open_part
from hrdet_cli.runs.run_folder import save_picture
from hrdet_cli.specs.experiment import ExperimentSpec


@dataclass(frozen=True, slots=True)
class PicturedBatch:
    """A drawn batch and what is in it.

    Attributes:
        sheet: The picture.
        canvas: ``WIDTHxHEIGHT`` of the batch.
        useful_pixel_share: Share of the batch's pixels that belong to a picture.
        pictures: File, original and placed size, number of boxes and what was done to each.
    """

    sheet: Path
    canvas: str
    useful_pixel_share: float
    pictures: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "sheet": str(self.sheet),
            "canvas": self.canvas,
            "useful_pixel_share": self.useful_pixel_share,
            "pictures": list(self.pictures),
        }


def inspect_training_batches(
    spec: ExperimentSpec, *, num_batches: int, epoch: int, out: Path
) -> Iterator[PicturedBatch]:
    """Draw the first batches of an epoch, exactly as training would see them.

    Args:
        spec: The experiment.
        num_batches: How many; fewer if the epoch is shorter.
        epoch: Which epoch, counted from 0.
        out: Folder for the sheets.

    Raises:
        HrdetError: The data cannot be used, or a sheet cannot be written.
    """
    part = open_part(spec.data, "train")
    with build_training_loader(spec, part, torch.device("cpu")) as loader:
        batches = loader.batches(epoch)
        for number, batch in zip(range(1, num_batches + 1), batches, strict=False):
            yield _picture(batch, part.annotations.class_names, out / f"batch-{number}.png")


def inspect_saved_batch(file: Path, *, out: Path) -> PicturedBatch:
    """Draw a batch that a stopped run saved.

    Raises:
        HrdetError: The file is not a saved batch, or the sheet cannot be written.
    """
    batch, class_names = load_batch(file)
    return _picture(batch, class_names, out / f"{file.stem}.png")


def _picture(batch: Batch, class_names: tuple[str, ...], path: Path) -> PicturedBatch:
    save_picture(draw_batch_sheet(batch, class_names), path)
    num_boxes = batch.targets.is_valid.sum(dim=1).tolist()
    pictures = tuple(
        {
            "file": record.file_name,
            "image_id": record.image_id,
            "original": str(record.original),
            "placed": str(record.placement.placed),
            "flipped": record.placement.flipped,
            "cropped": record.placement.crop is not None,
            "num_boxes": count,
            "num_ignored": len(record.ignored_boxes),
        }
        for record, count in zip(batch.records, num_boxes, strict=True)
    )
    return PicturedBatch(path, str(batch.images.canvas), batch.useful_pixel_share, pictures)
