"""Puts samples on one canvas."""

from collections.abc import Sequence

import torch

from hrdet_cli.engine.data.batch import Batch, Sample
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.structures import ImageBatch, Targets

_FEWEST_ROWS = 8


def pad_pictures(samples: Sequence[Sample], canvas: Size) -> Batch:
    """Collate samples: pictures in the top left corners of a canvas of zeros, ground truth in padded rows.

    The number of ground-truth rows is the smallest of 8, 16, 32, 64, ... that holds the fullest picture: few
    static shapes, and no box is ever left out.

    Args:
        samples: Pictures that fit the canvas.
        canvas: What they lie on.
    """
    records = tuple(sample.record for sample in samples)
    sizes = [record.placement.placed for record in records]
    # Rows of RGB triples, as decoders give and convolutions like them: the copies are straight.
    rows_of_triples = torch.zeros((len(samples), canvas.height, canvas.width, 3), dtype=torch.uint8)
    pixels = rows_of_triples.permute(0, 3, 1, 2)
    for row, (sample, size) in enumerate(zip(samples, sizes, strict=True)):
        pixels[row, :, : size.height, : size.width] = sample.pixels
    images = ImageBatch(
        pixels=pixels,
        sizes=torch.tensor([(size.height, size.width) for size in sizes]),
        keys=torch.tensor([sample.key for sample in samples]),
    )
    return Batch(images=images, targets=_pad_targets(samples), records=records)


def _pad_targets(samples: Sequence[Sample]) -> Targets:
    num_rows = _FEWEST_ROWS
    while num_rows < max(len(sample.labels) for sample in samples):
        num_rows *= 2
    boxes = torch.zeros((len(samples), num_rows, 4))
    labels = torch.zeros((len(samples), num_rows), dtype=torch.int64)
    is_valid = torch.zeros((len(samples), num_rows), dtype=torch.bool)
    for row, sample in enumerate(samples):
        count = len(sample.labels)
        boxes[row, :count] = sample.boxes
        labels[row, :count] = sample.labels
        is_valid[row, :count] = True
    return Targets(boxes=boxes, labels=labels, is_valid=is_valid)
