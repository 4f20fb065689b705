"""Pictures and ground truth as a detector's module takes them."""

from collections.abc import Sequence
from typing import Any

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
from hrdet_cli.engine.structures import LABEL_MAP_STRIDE, UNLABELLED, ImageBatch, Targets
from hrdet_cli.errors import DataError


def make_batch(
    pictures: Sequence[Picture],
    boxes: Sequence[ArrayLike],
    labels: Sequence[ArrayLike],
    masks: Sequence[ArrayLike] | None = None,
    label_maps: Sequence[ArrayLike] | None = None,
    *,
    device: torch.device | str = "cpu",
) -> tuple[ImageBatch, Targets]:
    """Put N pictures and their ground truth on one canvas, for ``module(images, targets)``.

    Pictures are not resized. The canvas is the smallest that holds all, with sides that are multiples of 32.
    What the detector draws at random (anchors and regions to train on) it draws by keys that come from
    torch's generator: ``torch.manual_seed`` makes it repeat.

    Args:
        pictures: As `Predictor.predict` takes them.
        boxes: For each picture ``(G, 4)``, x1, y1, x2, y2 in its pixels, inside it and with an area; G may be
            0 and differ.
        labels: For each picture ``(G,)`` in 0 .. K-1.
        masks: For each picture ``(G, H, W)`` bools, for a detector with masks; ``[]`` where G is 0.
        label_maps: For each picture ``(H, W)``, what kind of thing or stuff each pixel belongs to, in
            0 .. L-1 of the L labels of a semantic branch (HTC), 255 where nobody says.
        device: Where the batch goes.

    Returns:
        images: N pictures; ``images.pixels`` is ``(N, 3, h, w)`` uint8.
        targets: Their ground truth, padded to the same number of rows.

    Raises:
        DataError: A picture cannot be read, or boxes, labels, masks or label maps do not fit it.
    """
    given_of = {"boxes": boxes, "labels": labels, "masks": masks, "label_maps": label_maps}
    for name, values in given_of.items():
        if values is not None and len(values) != len(pictures):
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
            None if label_maps is None else np.asarray(label_maps[row]),
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
    label_map: NDArray[Any] | None,
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
        semantic=None if label_map is None else torch.from_numpy(_every_eighth(label_map, size, name)),
    )


def _every_eighth(label_map: NDArray[Any], size: Size, name: str) -> NDArray[np.uint8]:
    """``(h / 8, w / 8)``, rounded up: the labels that a semantic branch learns from.

    Raises:
        DataError: It is no map of the picture.
    """
    if label_map.shape != (size.height, size.width) or label_map.dtype.kind not in "ui":
        raise DataError(
            f"{name}: its label map is {label_map.shape} of {label_map.dtype}, and must be "
            f"{(size.height, size.width)} of whole numbers, a label for each pixel"
        )
    if label_map.min() < 0 or label_map.max() > UNLABELLED:
        raise DataError(
            f"{name}: its label map has {label_map.min()} to {label_map.max()}; labels are counted from 0, "
            f"and {UNLABELLED} is for pixels without one"
        )
    return label_map[::LABEL_MAP_STRIDE, ::LABEL_MAP_STRIDE].astype(np.uint8)


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
    expected = (len(boxes), size.height, size.width)
    if masks is not None and masks.shape not in ([expected] if len(boxes) else [expected, (0,)]):
        raise DataError(f"{name}: masks are {masks.shape}, and must be {expected}")
