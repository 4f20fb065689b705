"""What the data path hands over: one sample, and a batch of them on one canvas with its history."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any, Self

import torch
from torch import Tensor

from hrdet_cli.engine.data.transforms import Crop, Placement, Resizing
from hrdet_cli.engine.geometry import Size, Window
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.errors import DataError


@dataclass(frozen=True, slots=True, eq=False)
class PictureRecord:
    """Where a picture of a batch comes from and how it was changed.

    Attributes:
        index: Its position in the annotation file.
        image_id: Its id there.
        file_name: Its file, relative to the image root.
        original: Its size as annotated; of a tile, the tile's.
        placement: Resize, crop and flip.
        ignored_boxes: ``(I, 4)`` float32 crowd regions in canvas pixels; no targets, kept to be seen.
        changes: What was done to its colours and sharpness, in words.
        window: The part of the file's picture that it is, if it is a tile; None for all of it.
    """

    index: int
    image_id: int
    file_name: str
    original: Size
    placement: Placement
    ignored_boxes: Tensor
    window: Window | None = None
    changes: tuple[str, ...] = ()

    @property
    def whole(self) -> Size:
        """Size of the file's picture."""
        return self.original if self.window is None else self.window.whole

    @property
    def scale_xy(self) -> tuple[float, float]:
        """Resized pixels per original pixel, horizontally and vertically."""
        resized = self.placement.resized
        return resized.width / self.original.width, resized.height / self.original.height


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One picture, placed but not yet padded.

    Attributes:
        pixels: ``(3, h, w)`` uint8 RGB.
        boxes: ``(G, 4)`` float32 in its own pixels, which are also canvas pixels.
        labels: ``(G,)`` int64.
        key: The picture's random key.
        record: Where it comes from.
        damage: What is damaged in a JPEG that was decoded all the same; None for a sound picture.
        masks: ``(G, M, M)`` uint8, as `Targets` has them; None where nobody asked for them.
        semantic: ``(h / 8, w / 8)`` uint8, rounded up; likewise.
    """

    pixels: Tensor
    boxes: Tensor
    labels: Tensor
    key: int
    record: PictureRecord
    damage: str | None = None
    masks: Tensor | None = None
    semantic: Tensor | None = None


@dataclass(frozen=True, slots=True)
class PictureFault:
    """A picture that could not be read, or only with damage.

    Attributes:
        file_name: Its file, relative to the image root.
        reason: What is wrong with it, in words.
    """

    file_name: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """N pictures on one canvas, their ground truth and their history.

    Attributes:
        images: Pixels, sizes and keys.
        targets: Boxes, labels and perhaps masks, padded to a number of rows out of 8, 16, 32, 64, ...
            Perhaps label maps.
        records: N records, in the order of the pictures.
        broken: Pictures that could not be read: others are in their places in training, none in evaluation.
            Not saved with the batch.
        damaged: Pictures of the batch that are JPEGs with damaged pixels. Not saved either.
    """

    images: ImageBatch
    targets: Targets
    records: tuple[PictureRecord, ...]
    broken: tuple[PictureFault, ...] = ()
    damaged: tuple[PictureFault, ...] = ()

    def __len__(self) -> int:
        """Number of pictures N."""
        return len(self.records)

    @property
    def useful_pixel_share(self) -> float:
        """Share of the batch's pixels that belong to a picture and not to padding; in (0, 1]."""
        return self.images.sizes.prod(dim=1).sum().item() / (len(self) * self.images.canvas.num_pixels)

    def to(self, device: torch.device) -> Self:
        """Copy to a device, to a GPU without waiting where the memory is pinned; the records stay."""
        return replace(self, images=self.images.to(device), targets=self.targets.to(device))

    def cpu(self) -> Self:
        """Copy to host memory."""
        return self.to(torch.device("cpu"))

    def save(self, file: IO[bytes], *, class_names: Sequence[str]) -> None:
        """Write the batch and its K class names as tensors and plain values, for ``load_batch``."""
        images, targets = self.images, self.targets
        content = {
            "images": {"pixels": images.pixels, "sizes": images.sizes, "keys": images.keys},
            "targets": {
                "boxes": targets.boxes,
                "labels": targets.labels,
                "is_valid": targets.is_valid,
                "masks": targets.masks,
                "semantic": targets.semantic,
            },
            "class_names": list(class_names),
            "records": [asdict(record) for record in self.records],
        }
        torch.save(content, file)


def load_batch(path: Path) -> tuple[Batch, tuple[str, ...]]:
    """Read a batch and its class names written by ``Batch.save``; nothing in the file is executed.

    Raises:
        DataError: The file is missing or is not a saved batch.
    """
    if not path.exists():
        raise DataError(f"{path} does not exist; name the batch that a stopped run saved.")
    try:
        content = torch.load(path, weights_only=True)
        batch = Batch(
            images=ImageBatch(**content["images"]),
            targets=Targets(**content["targets"]),
            records=tuple(_record_from(record) for record in content["records"]),
        )
        return batch, tuple(content["class_names"])
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # the unpickler meets any bytes: there is no list of what it raises
        raise DataError(
            f"{path} is not a batch saved by a training run, or not a whole one; "
            "name the batch that a stopped run saved."
        ) from error


def _record_from(record: Mapping[str, Any]) -> PictureRecord:
    placement = record["placement"]
    crop, window = placement["crop"], record.get("window")
    return PictureRecord(
        **{
            **record,
            "original": Size(**record["original"]),
            "changes": tuple(record.get("changes", ())),
            "window": None
            if window is None
            else Window(window["left"], window["top"], Size(**window["size"]), Size(**window["whole"])),
            "placement": Placement(
                resized=Size(**placement["resized"]),
                crop=None if crop is None else Crop(**{**crop, "size": Size(**crop["size"])}),
                flipped=placement["flipped"],
                quarter_turns=placement.get("quarter_turns", 0),
                resizing=Resizing(**placement["resizing"]),
            ),
        }
    )
