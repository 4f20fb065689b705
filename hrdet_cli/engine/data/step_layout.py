"""The batch of one process in one step, before its pictures are read: which they are, and where each goes.

Does not import torch.
"""

from dataclasses import dataclass

from hrdet_cli.engine.data.augmentations import Augmentation
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.keys import generator_for
from hrdet_cli.engine.data.padding import PaddingPolicy
from hrdet_cli.engine.data.showings import Showing
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.geometry import Scale, Size


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What a worker needs to know to make the batch of one process in one step.

    Attributes:
        epoch: Counted from 0.
        showings: Which pictures.
        scale: The scale of the whole step; None where each picture draws its own.
        canvas: The canvas of the whole step; None where the process's own pictures decide.
    """

    epoch: int
    showings: tuple[Showing, ...]
    scale: Scale | None = None
    canvas: Size | None = None

    @property
    def indices(self) -> tuple[int, ...]:
        """Positions of the pictures in the annotation file."""
        return tuple(showing.index for showing in self.showings)


@dataclass(frozen=True, slots=True)
class StepLayout:
    """The batch of one process in one step, without its pictures.

    Attributes:
        request: Which pictures.
        placements: Where each goes.
        canvas: What they lie on.
    """

    request: BatchRequest
    placements: tuple[Placement, ...]
    canvas: Size

    @property
    def num_useful_pixels(self) -> int:
        """Pixels of the canvases that belong to pictures."""
        return sum(placement.placed.num_pixels for placement in self.placements)

    @property
    def num_pixels(self) -> int:
        """Pixels of all its canvases."""
        return len(self.placements) * self.canvas.num_pixels


def place_picture(
    annotations: CocoAnnotations,
    augmentation: Augmentation,
    *,
    seed: int,
    epoch: int,
    showing: Showing,
    scale: Scale | None = None,
) -> Placement:
    """Where a picture goes in an epoch: a function of (seed, epoch, showing) and the scale of its step.

    Args:
        annotations: Where its size and boxes come from.
        augmentation: Draws the placement.
        seed: The run's seed.
        epoch: Counted from 0.
        showing: Which picture, and which of its showings.
        scale: That of its step; None draws one for the picture alone.
    """
    boxes, _ = annotations.targets_of(showing.index)
    generator = generator_for(showing.key(seed=seed, epoch=epoch))
    return augmentation.place(annotations.size_of(showing.index), boxes, generator, scale=scale)


def canvas_of(request: BatchRequest, placements: tuple[Placement, ...], padding: PaddingPolicy) -> Size:
    """The canvas of a batch.

    Raises:
        DataError: The policy has none that holds its pictures.
    """
    return request.canvas or padding.canvas_for([placement.placed for placement in placements])
