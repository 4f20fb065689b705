"""What an epoch's batches will look like on all processes, counted without reading a picture."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from hrdet_cli.engine.data.step_layout import BatchRequest, canvas_of
from hrdet_cli.engine.data.steps import TrainingSteps
from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.engine.geometry import Size

_KEPT_REQUESTS = 16
"""Of each canvas: so many batches can be read, one after the other, without reading one twice."""


@dataclass(frozen=True)
class EpochLayout:
    """The batches of an epoch over some processes.

    Attributes:
        canvases: For each step the canvas of every process's batch.
        num_useful_pixels: Pixels of all batches that belong to pictures.
        num_pictures: In the batch of one process.
        requests_by_canvas: Some of the batches that lie on each canvas.
        num_boxes: For each step the boxes of every process's pictures, as annotated.
    """

    canvases: tuple[tuple[Size, ...], ...]
    num_useful_pixels: int
    num_pictures: int
    requests_by_canvas: Mapping[Size, tuple[BatchRequest, ...]]
    num_boxes: tuple[tuple[int, ...], ...]

    @cached_property
    def count_by_canvas(self) -> Mapping[Size, int]:
        """How many batches, of all processes, lie on each canvas."""
        return Counter(canvas for step in self.canvases for canvas in step)

    @property
    def useful_pixel_share(self) -> float:
        """Share of the pixels of all batches that belong to pictures; in (0, 1]."""
        num_pixels = sum(canvas.num_pixels * count for canvas, count in self.count_by_canvas.items())
        return self.num_useful_pixels / (self.num_pictures * num_pixels)

    @property
    def imbalance(self) -> float:
        """Pixels of a step's largest batch over those of its mean batch, averaged over steps; 1 is none.

        All processes wait for the one with the most to do.
        """
        pixels = np.array([[canvas.num_pixels for canvas in step] for step in self.canvases])
        return float((pixels.max(axis=1) / pixels.mean(axis=1)).mean())

    def typical_canvases(self, most: int) -> tuple[Size, ...]:
        """Canvases whose cost tells that of all others by interpolation, the smallest first.

        Turned canvases have as many pixels, and the more frequent one is taken. Where there are too many,
        the smallest and the largest are among those taken, and between them as many batches from each to the
        next.
        """
        by_pixels: dict[int, list[Size]] = {}
        for canvas in self.count_by_canvas:
            by_pixels.setdefault(canvas.num_pixels, []).append(canvas)
        areas = sorted(by_pixels)
        if len(areas) > most:
            counts = [sum(self.count_by_canvas[canvas] for canvas in by_pixels[area]) for area in areas]
            reached = np.cumsum(counts) / sum(counts)
            quantiles = np.linspace(0, 1, most)[1:-1]
            chosen = {0, *np.searchsorted(reached, quantiles).tolist(), len(areas) - 1}
            areas = [areas[index] for index in sorted(chosen)]
        return tuple(max(by_pixels[area], key=lambda canvas: self.count_by_canvas[canvas]) for area in areas)


def lay_out_epoch(steps: TrainingSteps, *, num_processes: int) -> EpochLayout:
    """Lay out the first epoch.

    Args:
        steps: With the pictures of all processes in a step.
        num_processes: Among which each step is shared out.

    Raises:
        DataError: A batch has no canvas.
    """
    size = steps.batch_size // num_processes
    canvases, boxes = [], []
    num_useful = 0
    requests: dict[Size, list[BatchRequest]] = {}
    for layout in steps.layouts(0, World()):
        num_useful += layout.num_useful_pixels
        of_step = []
        for start in range(0, steps.batch_size, size):
            request = replace(layout.request, showings=layout.request.showings[start : start + size])
            canvas = canvas_of(request, layout.placements[start : start + size], steps.padding)
            of_step.append(canvas)
            kept = requests.setdefault(canvas, [])
            if len(kept) < _KEPT_REQUESTS:
                kept.append(request)
        canvases.append(tuple(of_step))
        of_pictures = steps.num_boxes_of(layout.request)
        starts = range(0, steps.batch_size, size)
        boxes.append(tuple(sum(of_pictures[start : start + size]) for start in starts))
    return EpochLayout(
        canvases=tuple(canvases),
        num_useful_pixels=num_useful,
        num_pictures=size,
        requests_by_canvas={canvas: tuple(kept) for canvas, kept in requests.items()},
        num_boxes=tuple(boxes),
    )


def seconds_by_canvas(layout: EpochLayout, measured: Mapping[Size, float]) -> dict[Size, float]:
    """Seconds of a batch on every canvas of an epoch, linear between the measured ones in their pixels.

    Args:
        layout: The epoch.
        measured: Seconds on its typical canvases.
    """
    known = sorted((canvas.num_pixels, seconds) for canvas, seconds in measured.items())
    pixels, seconds = zip(*known, strict=True)
    return {canvas: float(np.interp(canvas.num_pixels, pixels, seconds)) for canvas in layout.count_by_canvas}


def mean_seconds(layout: EpochLayout, measured: Mapping[Size, float]) -> float:
    """Seconds of a batch, averaged over all batches of an epoch; the arguments as for `seconds_by_canvas`."""
    seconds = seconds_by_canvas(layout, measured)
    counts = layout.count_by_canvas
    return sum(seconds[canvas] * count for canvas, count in counts.items()) / sum(counts.values())


def epoch_seconds(layout: EpochLayout, measured: Mapping[Size, float]) -> float:
    """Seconds of an epoch in which every step waits for the process that takes longest."""
    seconds = seconds_by_canvas(layout, measured)
    return sum(max(seconds[canvas] for canvas in step) for step in layout.canvases)


def canvas_shares(layout: EpochLayout) -> Sequence[tuple[Size, float]]:
    """Each canvas and the share of the batches that lie on it, the largest canvas first."""
    total = sum(layout.count_by_canvas.values())
    ordered = sorted(layout.count_by_canvas.items(), key=lambda item: (-item[0].num_pixels, item[0]))
    return [(canvas, count / total) for canvas, count in ordered]
