"""Makes batches of samples: ground truth in padded rows, pictures that are to lie on one canvas."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from hrdet_cli.engine.data.batch import Batch, PictureFault, Sample
from hrdet_cli.engine.data.unpadded_batch import UnpaddedBatch
from hrdet_cli.engine.data.worker_memory import WorkerMemory
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.structures import LABEL_MAP_STRIDE, UNLABELLED, Targets

_FEWEST_ROWS = 8


def pad_pictures(samples: Sequence[Sample], canvas: Size) -> Batch:
    """A batch in host memory; the arguments are those of `collate`."""
    return collate(samples, canvas).padded(torch.device("cpu"))


def collate(
    samples: Sequence[Sample],
    canvas: Size,
    *,
    fewest_boxes: int = 0,
    mask_memory: WorkerMemory | None = None,
) -> UnpaddedBatch:
    """Make a batch of samples, without copying a pixel.

    The number of ground-truth rows is the smallest of 8, 16, 32, 64, ... that holds the fullest picture: few
    static shapes, and no box is ever left out.

    Args:
        samples: Pictures that fit the canvas; there may be none. All have masks, or none has; label maps
            likewise.
        canvas: What they are to lie on.
        fewest_boxes: There are rows for as many, however few the fullest picture has.
        mask_memory: Where masks go; None gets new memory.
    """
    num_rows = num_box_rows(max([fewest_boxes, *(len(sample.labels) for sample in samples)]))
    damaged = tuple(
        PictureFault(sample.record.file_name, sample.damage)
        for sample in samples
        if sample.damage is not None
    )
    targets = replace(
        _pad_targets(samples, num_rows),
        masks=_pad_masks(samples, num_rows, mask_memory),
        semantic=_pad_labels(samples, canvas),
    )
    return UnpaddedBatch(
        pictures=[sample.pixels for sample in samples],
        canvas=canvas,
        keys=[sample.key for sample in samples],
        targets=targets,
        records=tuple(sample.record for sample in samples),
        damaged=damaged,
    )


def _pad_masks(samples: Sequence[Sample], num_rows: int, memory: WorkerMemory | None) -> Tensor | None:
    """``(N, G, M, M)``, each cell written once."""
    if not samples or (first := samples[0].masks) is None:
        return None
    shape = (len(samples), num_rows, *first.shape[1:])
    padded = torch.empty(shape, dtype=torch.uint8) if memory is None else memory.take(shape)
    for rows, sample in zip(padded.numpy(), samples, strict=True):  # which copies rows faster than torch
        if sample.masks is None:
            raise ValueError(f"{sample.record.file_name} has no masks, and others of its batch do")
        count = len(sample.masks)
        rows[:count] = sample.masks.numpy()
        rows[count:] = 0
    return padded


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
