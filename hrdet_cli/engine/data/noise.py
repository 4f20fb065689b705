"""Batches of noise, as large as batches can be: for finding out what a step costs before it is made."""

import math

import torch
from torch import Tensor

from hrdet_cli.engine.data.batch import Batch, PictureRecord, Sample
from hrdet_cli.engine.data.collation import pad_pictures
from hrdet_cli.engine.data.mask_frames import FRAME_CELLS
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.structures import LABEL_MAP_STRIDE


def make_noise_batch(
    canvas: Size,
    *,
    num_pictures: int,
    num_boxes: int,
    num_classes: int,
    with_masks: bool = False,
    num_labels: int | None = None,
) -> Batch:
    """A batch of pictures that fill their canvas, the same for the same arguments.

    Args:
        canvas: What they lie on.
        num_pictures: How many.
        num_boxes: Of each picture.  They lie in rows and columns all over it and take turns in their classes.
        num_classes: K.
        with_masks: Whether each box has a mask.
        num_labels: Kinds of things and stuff in label maps; None has no maps.
    """
    generator = torch.Generator().manual_seed(0)
    boxes = _spread_boxes(canvas, num_boxes)
    labels = torch.arange(num_boxes) % num_classes
    masks = None
    if with_masks:
        shape = (num_boxes, FRAME_CELLS, FRAME_CELLS)
        masks = torch.randint(2, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    semantic = None
    if num_labels is not None:
        rows, columns = canvas.height // LABEL_MAP_STRIDE, canvas.width // LABEL_MAP_STRIDE
        semantic = (torch.arange(rows)[:, None] + torch.arange(columns)) % num_labels
    samples = [
        Sample(
            pixels=torch.randint(
                256, (3, canvas.height, canvas.width), dtype=torch.uint8, generator=generator
            ),
            boxes=boxes,
            labels=labels,
            key=number,
            record=PictureRecord(
                index=number,
                image_id=number,
                file_name=f"noise-{number}",
                original=canvas,
                placement=Placement(resized=canvas),
                ignored_boxes=torch.zeros((0, 4)),
            ),
            masks=masks,
            semantic=None if semantic is None else semantic.to(torch.uint8),
        )
        for number in range(num_pictures)
    ]
    return pad_pictures(samples, canvas)


def _spread_boxes(canvas: Size, num_boxes: int) -> Tensor:
    """``(G, 4)`` boxes, each in the middle of a cell of its own and half as large."""
    num_columns = max(1, math.ceil(math.sqrt(num_boxes * canvas.width / canvas.height)))
    num_rows = max(1, math.ceil(num_boxes / num_columns))
    cell = torch.tensor([canvas.width / num_columns, canvas.height / num_rows])
    numbers = torch.arange(num_boxes)
    corners = torch.stack([numbers % num_columns, numbers // num_columns], dim=1) * cell
    return torch.cat([corners + cell / 4, corners + cell * 3 / 4], dim=1)
