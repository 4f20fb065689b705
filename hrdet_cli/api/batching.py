"""Pictures and ground truth as a detector's module takes them."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from hrdet_cli.api.pictures import Picture, numbered, read_given_picture
from hrdet_cli.engine.data.batch import PictureRecord, Sample
from hrdet_cli.engine.data.collation import pad_pictures
from hrdet_cli.engine.data.mask_frames import FRAME_CELLS
from hrdet_cli.engine.data.object_bitmaps import frame_of_bitmap
from hrdet_cli.engine.data.padding import SmallestCanvas
from hrdet_cli.engine.data.pillow_limits import MAX_PICTURE_PIXELS
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.errors import DataError


def make_batch(
    pictures: Sequence[Picture],
    boxes: Sequence[ArrayLike],
    labels: Sequence[ArrayLike],
    masks: Sequence[ArrayLike] | None = None,
    *,
    device: torch.device | str = "cpu",
) -> tuple[ImageBatch, Targets]:
    """Put N pictures and their ground truth on one canvas, for ``module(images, targets)``.

    Pictures are not resized. The canvas is the smallest that holds all, with sides that are multiples of 32.
    Label maps, which a semantic branch (HTC) learns from, have no place here. What the detector draws at
    random (anchors and regions to train on) it draws by keys that come from torch's generator:
    ``torch.manual_seed`` makes it repeat.

    Args:
        pictures: As `Predictor.predict` takes them.
        boxes: For each picture ``(G, 4)``, x1, y1, x2, y2 in its pixels, inside it and with an area; G may be
            0 and differ.
        labels: For each picture ``(G,)`` in 0 .. K-1.
        masks: For each picture ``(G, H, W)`` bools, for a detector with masks.
        device: Where the batch goes.

    Returns:
        images: N pictures; ``images.pixels`` is ``(N, 3, h, w)`` uint8.
        targets: Their ground truth, padded to the same number of rows.

    Raises:
        DataError: A picture cannot be read, or boxes, labels and masks do not fit it.
    """
    counts = {"boxes": boxes, "labels": labels, **({} if masks is None else {"masks": masks})}
    for name, values in counts.items():
        if len(values) != len(pictures):
            raise DataError(f"{name}: of {len(values)} pictures, and there are {len(pictures)}")
    keys = torch.randint(2**63 - 1, (len(pictures),)).tolist()
    samples = [
        _sample(
            read_given_picture(given, max_pixels=MAX_PICTURE_PIXELS).pixels,
            given.name,
            keys[row],
            np.asarray(boxes[row], dtype=np.float32).reshape(-1, 4),
            np.asarray(labels[row], dtype=np.int64).reshape(-1),
            None if masks is None else np.asarray(masks[row], dtype=np.bool_),
        )
        for row, given in enumerate(numbered(pictures))
    ]
    if not samples:
        raise DataError("a batch has at least one picture")
    batch = pad_pictures(samples, SmallestCanvas().canvas_for([s.record.original for s in samples]))
    place = torch.device(device)
    return batch.images.to(place), batch.targets.to(place)


def _sample(
    pixels: Tensor,
    name: str,
    key: int,
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    masks: NDArray[np.bool_] | None,
) -> Sample:
    size = Size(*pixels.shape[1:])
    _check(boxes, labels, masks, size, name)
    return Sample(
        pixels=pixels,
        boxes=torch.from_numpy(boxes),
        labels=torch.from_numpy(labels),
        key=key,
        record=PictureRecord(
            index=0,
            image_id=0,
            file_name=name,
            original=size,
            placement=Placement(size),
            ignored_boxes=torch.zeros(0, 4),
        ),
        masks=None if masks is None else torch.from_numpy(_frames_of(masks, boxes)),
    )


def _frames_of(masks: NDArray[np.bool_], boxes: NDArray[np.float32]) -> NDArray[np.uint8]:
    """``(G, M, M)``, each mask in the frame of its box."""
    frames = np.zeros((len(boxes), FRAME_CELLS, FRAME_CELLS), dtype=np.uint8)
    for frame, mask, box in zip(frames, masks, boxes, strict=True):
        frame[:] = frame_of_bitmap(mask, box)
    return frames


def _check(
    boxes: NDArray[np.float32],
    labels: NDArray[np.int64],
    masks: NDArray[np.bool_] | None,
    size: Size,
    name: str,
) -> None:
    """Ground truth must fit its picture.

    Raises:
        DataError: It does not.
    """
    if len(labels) != len(boxes):
        raise DataError(f"{name}: has {len(boxes)} boxes and {len(labels)} labels")
    if (labels < 0).any():
        raise DataError(f"{name}: has a label below 0; labels are 0 .. K-1")
    is_inside = (boxes[:, :2] >= 0).all(1) & (boxes[:, 2] <= size.width) & (boxes[:, 3] <= size.height)
    is_wrong = ~(is_inside & (boxes[:, :2] < boxes[:, 2:]).all(1))
    if is_wrong.any():
        raise DataError(
            f"{name}: {boxes[is_wrong.argmax()].tolist()} is no box of x1, y1, x2, y2 inside a picture of "
            f"{size}, width x height"
        )
    if masks is not None and masks.shape != (len(boxes), size.height, size.width):
        raise DataError(
            f"{name}: masks are {masks.shape}, and must be {(len(boxes), size.height, size.width)}"
        )
