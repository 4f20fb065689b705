"""Puts samples on one canvas."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from hrdet_cli.engine.data.batch import Batch, PictureFault, Sample
from hrdet_cli.engine.data.worker_memory import WorkerMemory
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.structures import LABEL_MAP_STRIDE, UNLABELLED, ImageBatch, Targets

_FEWEST_ROWS = 8


def pad_pictures(
    samples: Sequence[Sample], canvas: Size, *, fewest_boxes: int = 0, memory: WorkerMemory | None = None
) -> Batch:
    """Collate samples: pictures in the top left corners of a canvas of zeros, ground truth in padded rows.

    The number of ground-truth rows is the smallest of 8, 16, 32, 64, ... that holds the fullest picture: few
    static shapes, and no box is ever left out.

    Args:
        samples: Pictures that fit the canvas; there may be none. All have masks, or none has; label maps
            likewise.
        canvas: What they lie on.
        fewest_boxes: There are rows for as many, however few the fullest picture has.
        memory: Where pixels and masks go; None gets new memory.
    """
    records = tuple(sample.record for sample in samples)
    sizes = [record.placement.placed for record in records]
    num_rows = num_box_rows(max([fewest_boxes, *(len(sample.labels) for sample in samples)]))
    # As decoders give pixels and convolutions like them.
    shapes: list[tuple[int, ...]] = [(len(samples), canvas.height, canvas.width, 3)]
    if samples and (first := samples[0].masks) is not None:
        shapes.append((len(samples), num_rows, *first.shape[1:]))
    rows_of_triples, *masks = (memory.take if memory else _new_memory)(*shapes)
    _pad_pixels(samples, rows_of_triples)
    for padded in masks:
        _pad_masks(samples, padded)
    images = ImageBatch(
        pixels=rows_of_triples.permute(0, 3, 1, 2),
        sizes=torch.tensor([(size.height, size.width) for size in sizes], dtype=torch.int64).reshape(-1, 2),
        keys=torch.tensor([sample.key for sample in samples], dtype=torch.int64),
    )
    damaged = tuple(
        PictureFault(sample.record.file_name, sample.damage)
        for sample in samples
        if sample.damage is not None
    )
    targets = replace(
        _pad_targets(samples, num_rows),
        masks=masks[0] if masks else None,
        semantic=_pad_labels(samples, canvas),
    )
    return Batch(images=images, targets=targets, records=records, damaged=damaged)


def _pad_pixels(samples: Sequence[Sample], rows_of_triples: Tensor) -> None:
    """Write each pixel of ``(N, H, W, 3)`` once."""
    canvases = rows_of_triples.numpy()  # which copies rows faster than torch
    for canvas, sample in zip(canvases, samples, strict=True):
        size = sample.record.placement.placed
        canvas[: size.height, : size.width] = sample.pixels.permute(1, 2, 0).numpy()
        canvas[: size.height, size.width :] = 0
        canvas[size.height :] = 0


def _pad_masks(samples: Sequence[Sample], padded: Tensor) -> None:
    """Write each cell of ``(N, G, M, M)`` once."""
    for rows, sample in zip(padded.numpy(), samples, strict=True):
        if sample.masks is None:
            raise ValueError(f"{sample.record.file_name} has no masks, and others of its batch do")
        count = len(sample.masks)
        rows[:count] = sample.masks.numpy()
        rows[count:] = 0


def _new_memory(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """From numpy, which asks the kernel for large pages: small ones cost more to get than to write."""
    return tuple(torch.from_numpy(np.empty(shape, dtype=np.uint8)) for shape in shapes)


def num_box_rows(most_boxes: int) -> int:
    """Rows of ground truth of a batch whose fullest picture has so many boxes."""
    num_rows = _FEWEST_ROWS
    while num_rows < most_boxes:
        num_rows *= 2
    return num_rows


def _pad_labels(samples: Sequence[Sample], canvas: Size) -> Tensor | None:
    """Label maps on the canvas, of pictures that have some; small enough to be handed over like boxes."""
    maps = [sample.semantic for sample in samples if sample.semantic is not None]
    if not maps:
        return None
    rows, columns = canvas.height // LABEL_MAP_STRIDE, canvas.width // LABEL_MAP_STRIDE
    padded = torch.full((len(samples), rows, columns), UNLABELLED, dtype=torch.uint8)
    for whole, labels in zip(padded, maps, strict=True):
        whole[: labels.shape[0], : labels.shape[1]] = labels
    return padded


def _pad_targets(samples: Sequence[Sample], num_rows: int) -> Targets:
    boxes = torch.zeros((len(samples), num_rows, 4))
    labels = torch.zeros((len(samples), num_rows), dtype=torch.int64)
    is_valid = torch.zeros((len(samples), num_rows), dtype=torch.bool)
    for row, sample in enumerate(samples):
        count = len(sample.labels)
        boxes[row, :count] = sample.boxes
        labels[row, :count] = sample.labels
        is_valid[row, :count] = True
    return Targets(boxes=boxes, labels=labels, is_valid=is_valid)
