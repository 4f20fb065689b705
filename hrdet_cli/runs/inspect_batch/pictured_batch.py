"""A drawn batch and what is in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hrdet_cli.engine.data.batch import Batch, PictureRecord
from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.engine.visualisation.batch_sheet import draw_batch_sheet, turn_in_words
from hrdet_cli.runs.output_files import save_picture


@dataclass(frozen=True, slots=True, eq=False)
class PicturedBatch:
    """A drawn batch and what is in it.

    Attributes:
        sheet: The file it was drawn into.
        world: The process that gets it; None where that is not known.
        canvas: ``WIDTHxHEIGHT`` of the batch.
        useful_pixel_share: Share of the batch's pixels that belong to a picture.
        pictures: File, sizes, number of boxes and what was done to each, in plain types.
        notices: What the user should be told of the pictures.
    """

    sheet: Path
    world: World | None
    canvas: str
    useful_pixel_share: float
    pictures: tuple[dict[str, Any], ...]
    notices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "sheet": str(self.sheet),
            "rank": None if self.world is None else self.world.rank,
            "canvas": self.canvas,
            "useful_pixel_share": self.useful_pixel_share,
            "pictures": list(self.pictures),
        }


def picture_batch(
    batch: Batch, class_names: tuple[str, ...], sheet: Path, *, world: World | None = None
) -> PicturedBatch:
    """Draw a batch into a file.

    Args:
        batch: A batch in host memory.
        class_names: Name of each label.
        sheet: Where the PNG goes.
        world: The process that gets the batch; None where that is not known.

    Raises:
        OutputError: The sheet cannot be written.
    """
    whose = "" if world is None or world.size == 1 else f"rank {world.rank} in a group of {world.size}"
    save_picture(draw_batch_sheet(batch, class_names, whose=whose), sheet)
    num_boxes = batch.targets.is_valid.sum(dim=1).tolist()
    pictures = tuple(_describe(record, count) for record, count in zip(batch.records, num_boxes, strict=True))
    return PicturedBatch(
        sheet=sheet,
        world=world,
        canvas=str(batch.images.canvas),
        useful_pixel_share=batch.useful_pixel_share,
        pictures=pictures,
        notices=tuple(_notices(batch)),
    )


def _notices(batch: Batch) -> Iterator[str]:
    for fault in batch.broken:
        yield f"another picture takes the place of a broken one: {fault.reason}"
    for fault in batch.damaged:
        yield f"damaged JPEG data in {fault.file_name}: {fault.reason}"


def _describe(record: PictureRecord, num_boxes: int) -> dict[str, Any]:
    placement, tile = record.placement, record.window
    crop = placement.crop
    return {
        "file": record.file_name,
        "image_id": record.image_id,
        "tile": None if tile is None else {"left": tile.left, "top": tile.top, "of": str(tile.whole)},
        "original": str(record.original),
        "scale_xy": list(record.scale_xy),
        "resized": str(placement.resized),
        "crop": None if crop is None else {"left": crop.left, "top": crop.top, "size": str(crop.size)},
        "placed": str(placement.placed),
        "flipped": placement.flipped,
        "quarter_turns": placement.quarter_turns,
        "turned": turn_in_words(placement),
        "changes": list(record.changes),
        "cropped": placement.is_cut,
        "num_boxes": num_boxes,
        "num_ignored": len(record.ignored_boxes),
    }
