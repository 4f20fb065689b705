"""What the first batches of an epoch are like, counted without reading a picture."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from hrdet_cli.engine.data.augmentations import Augmentation
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.keys import generator_for
from hrdet_cli.engine.data.step_layout import StepLayout, canvas_of
from hrdet_cli.engine.data.steps import TrainingSteps
from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.engine.geometry import Scale, Size
from hrdet_cli.runs.inspect_batch.moved_boxes import MovedBoxes, move_targets


@dataclass(slots=True)
class PixelCount:
    """Pixels of some canvases, and how many of them belong to pictures."""

    num_items: int = 0
    num_useful: int = 0
    num_pixels: int = 0

    def add(self, *, num_useful: int, num_pixels: int) -> None:
        """Count one more batch or picture."""
        self.num_items += 1
        self.num_useful += num_useful
        self.num_pixels += num_pixels

    @property
    def useful_share(self) -> float | None:
        """Share of the pixels that belong to a picture; None of nothing."""
        return self.num_useful / self.num_pixels if self.num_pixels else None


@dataclass(frozen=True, slots=True)
class EpochSummary:
    """The batches of the first steps of an epoch, of all processes.

    Attributes:
        epoch: Counted from 0.
        num_steps: Steps that were counted.
        num_steps_in_epoch: Steps there are.
        num_processes: Processes that share a step.
        indices: Positions in the annotation file of the pictures seen, each once, in order.
        pixels: Of all batches.
        batches_by_canvas: Batches and pixels of each canvas, the most frequent first.
        pictures_by_scale: Pictures and pixels of each of the listed scales; a scale drawn between them counts
            for the nearest.
        num_boxes: Boxes that training gets, those of pictures that come again counted again; pasted ones not,
            and those that these hide as if they were seen.
        pastes: Whether objects are pasted.
        num_lost: Boxes whose centre a crop cut off.
        num_clipped: Boxes that a crop made smaller.
    """

    epoch: int
    num_steps: int
    num_steps_in_epoch: int
    num_processes: int
    indices: tuple[int, ...]
    pixels: PixelCount
    batches_by_canvas: dict[Size, PixelCount]
    pictures_by_scale: dict[Scale, PixelCount]
    num_boxes: int
    num_lost: int
    num_clipped: int
    pastes: bool = False

    @property
    def num_pictures(self) -> int:
        """Pictures of all batches; one that comes again to fill the last step counts again."""
        return sum(count.num_items for count in self.pictures_by_scale.values())

    def to_json(self) -> dict[str, Any]:
        """As plain types; scales have an entry of their own."""
        num_batches = self.pixels.num_items
        return {
            "epoch": self.epoch + 1,
            "num_steps": self.num_steps,
            "num_steps_in_epoch": self.num_steps_in_epoch,
            "num_processes": self.num_processes,
            "num_pictures": self.num_pictures,
            "num_different_pictures": len(self.indices),
            "useful_pixel_share": self.pixels.useful_share,
            "canvases": [
                {
                    "canvas": str(canvas),
                    "share_of_batches": count.num_items / num_batches,
                    "useful_pixel_share": count.useful_share,
                }
                for canvas, count in self.batches_by_canvas.items()
            ],
            "num_boxes": self.num_boxes,
            "num_boxes_is_before_pasting": self.pastes,
            "num_boxes_lost": self.num_lost,
            "num_boxes_clipped": self.num_clipped,
        }


def summarise_epoch(
    steps: TrainingSteps,
    annotations: CocoAnnotations,
    augmentation: Augmentation,
    *,
    scales: Sequence[Scale],
    seed: int,
    epoch: int,
    num_processes: int,
    most_pictures: int,
) -> EpochSummary:
    """Lay out the first steps of an epoch and count.

    Args:
        steps: The steps of all processes.
        annotations: Those that the steps were made from.
        augmentation: That of the steps.
        scales: What drawn scales are counted by.
        seed: The run's seed.
        epoch: Counted from 0.
        num_processes: How many share a step.
        most_pictures: About how many pictures to look at; whole steps, at least one.

    Raises:
        DataError: A batch has no canvas.
    """
    pixels = PixelCount()
    by_canvas: defaultdict[Size, PixelCount] = defaultdict(PixelCount)
    by_scale = {scale: PixelCount() for scale in scales}
    moved: list[MovedBoxes] = []
    seen: dict[int, None] = {}
    wholes = list(islice(steps.layouts(epoch, World()), max(1, most_pictures // steps.batch_size)))
    for layout in (share for whole in wholes for share in _shares(whole, steps, num_processes)):
        for count in (pixels, by_canvas[layout.canvas]):
            count.add(num_useful=layout.num_useful_pixels, num_pixels=layout.num_pixels)
        for showing, placement in zip(layout.request.showings, layout.placements, strict=True):
            seen[showing.index] = None
            moved.append(move_targets(annotations, showing.index, placement))
            # Where a picture draws its own scale, that is the first thing its generator gives.
            generator = generator_for(showing.key(seed=seed, epoch=epoch))
            scale = layout.request.scale or augmentation.draw_scale(generator)
            by_scale[_nearest(scale, scales)].add(
                num_useful=placement.placed.num_pixels, num_pixels=layout.canvas.num_pixels
            )
    most_frequent_first = sorted(
        by_canvas.items(), key=lambda item: (-item[1].num_items, -item[0].num_pixels, item[0])
    )
    return EpochSummary(
        epoch=epoch,
        num_steps=len(wholes),
        num_steps_in_epoch=steps.num_steps,
        num_processes=num_processes,
        indices=tuple(seen),
        pixels=pixels,
        batches_by_canvas=dict(most_frequent_first),
        pictures_by_scale=by_scale,
        num_boxes=sum(len(m.boxes) for m in moved),
        num_lost=sum(m.num_lost for m in moved),
        num_clipped=sum(m.num_clipped for m in moved),
        pastes=steps.pastes,
    )


def _shares(whole: StepLayout, steps: TrainingSteps, num_processes: int) -> Iterator[StepLayout]:
    """The batch of each process of a step that was laid out for all of them."""
    length = len(whole.placements) // num_processes
    for start in range(0, len(whole.placements), length):
        own = slice(start, start + length)
        request, placements = whole.request, whole.placements[own]
        request = replace(request, showings=request.showings[own])
        yield StepLayout(request, placements, canvas_of(request, placements, steps.padding))


def _nearest(drawn: Scale, scales: Sequence[Scale]) -> Scale:
    """The scale whose edges differ least from those drawn, as factors."""
    return min(
        scales,
        key=lambda scale: abs(np.log(scale.long / drawn.long)) + abs(np.log(scale.short / drawn.short)),
    )
