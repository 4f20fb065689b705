"""What is decided about the steps of training before a picture is read: which pictures, scale and canvas.

Everything here is a function of (seed, epoch, step) and of the annotations' sizes, so that all processes of a
run, and a run that was resumed, decide alike without a word to each other. Does not import torch.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.augmentations import Augmentation
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.keyed_draws import first_uniforms
from hrdet_cli.engine.data.keys import generator_for, picture_keys, turn_key
from hrdet_cli.engine.data.padding import FixedCanvas, PaddingPolicy, StepCanvases
from hrdet_cli.engine.data.samplers import share_of, training_order
from hrdet_cli.engine.data.scale_jitter import ScaleJitterAugmentation
from hrdet_cli.engine.data.shape_classes import classes_by_canvas, count_sizes
from hrdet_cli.engine.data.showings import EpochSampler, Showing, Showings
from hrdet_cli.engine.data.step_layout import BatchRequest, StepLayout, canvas_of, place_picture
from hrdet_cli.engine.data.turning import TurningAugmentation, jitter_of
from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.engine.geometry import Scale, Size


class TrainingSteps:
    """The steps of training.

    Args:
        annotations: Where sizes and boxes come from.
        indices: ``(M,)`` positions in the annotation file of the pictures that take part.
        augmentation: Draws scales and placements.
        padding: Chooses canvases.
        batch_size: Pictures in a step over all processes.
        seed: The run's seed.
        rates: ``(M,)`` how often an epoch shows each picture; None shows each once.
        pastes: Whether a picture may get the boxes of another.

    Attributes:
        indices: As given.
        pastes: As given.
        padding: As given.
        batch_size: As given.
        sampler: How often an epoch shows each picture.
    """

    def __init__(
        self,
        *,
        annotations: CocoAnnotations,
        indices: NDArray[np.int64],
        augmentation: Augmentation,
        padding: PaddingPolicy,
        batch_size: int,
        seed: int,
        rates: NDArray[np.float64] | None = None,
        pastes: bool = False,
    ) -> None:
        self._annotations = annotations
        self.indices = indices
        self._augmentation = augmentation
        self._seed = seed
        self.pastes = pastes
        self.padding = padding
        self.batch_size = batch_size
        sizes = annotations.sizes[indices]
        self._is_portrait = sizes[:, 0] > sizes[:, 1]
        self.sampler = EpochSampler(rates, is_portrait=self._is_portrait, batch_size=batch_size)
        self._shape_classes = np.zeros(len(indices), dtype=np.int64)
        self._has_step_scale = isinstance(padding, StepCanvases) and padding.shares_scale
        self._drawing_jitter = None
        if isinstance(padding, StepCanvases) and padding.shares_scale:
            self._shape_classes = classes_by_canvas(sizes, augmentation, padding)
        elif isinstance(padding, StepCanvases):
            self._drawing_jitter = jitter_of(augmentation)

    @property
    def num_pictures(self) -> int:
        """Pictures that take part."""
        return len(self.indices)

    @property
    def num_steps(self) -> int:
        """Steps in an epoch."""
        return self.sampler.num_steps

    @property
    def with_masks(self) -> bool:
        """Whether the boxes of the pictures have masks."""
        return self._annotations.segmentations is not None

    @property
    def canvases(self) -> tuple[Size, ...]:
        """The canvases that steps may lie on, the largest first; empty where each batch has its own."""
        if isinstance(self.padding, FixedCanvas):
            edges: tuple[Scale, ...] = (Scale(self.padding.long, self.padding.short),)
        elif isinstance(self.padding, StepCanvases):
            edges = self.padding.canvases
        else:
            return ()
        orientations = np.unique(self._is_portrait).tolist()
        turned = {canvas.turned(portrait=portrait) for canvas in edges for portrait in orientations}
        return tuple(sorted(turned, key=lambda canvas: (-canvas.num_pixels, canvas)))

    @property
    def largest_canvas(self) -> Size:
        """The canvas with the most pixels that a batch may lie on.

        Where each batch has its own, two pictures can need the height of one and the width of the other.
        """
        if isinstance(self.padding, FixedCanvas):
            return self.canvases[0]
        placed: dict[tuple[bool, Scale | None], list[Size]] = {}  # of pictures that may share a batch
        for size in count_sizes(self._annotations, self.indices):
            for scale in self._augmentation.typical_scales():
                sharing = placed.setdefault((size.is_portrait, scale if self._has_step_scale else None), [])
                placed_size = self._augmentation.placed_size(size, scale)
                sharing.append(placed_size)
                if isinstance(self._augmentation, TurningAugmentation):
                    sharing.append(Size(placed_size.width, placed_size.height))
        canvases = [self.padding.canvas_for(sizes) for sizes in placed.values()]
        return max(canvases, key=lambda canvas: canvas.num_pixels)

    @property
    def most_boxes(self) -> int:
        """Boxes that a picture can have at most, pasted ones included; crowd regions do not count."""
        return (2 if self.pastes else 1) * int(self._annotations.num_boxes[self.indices].max())

    def num_boxes_of(self, request: BatchRequest) -> list[int]:
        """Boxes of each picture of a batch, as annotated; crowd regions do not count."""
        return [self._annotations.num_boxes_of(index) for index in request.indices]

    def order_of(self, epoch: int) -> Showings:
        """The global batches ``(S, B)`` of an epoch, whose pictures are positions in the annotation file."""
        showings = self.sampler.draw(seed=self._seed, epoch=epoch)
        classes = self._shape_classes[showings.pictures]
        if self._drawing_jitter is not None:
            classes = self._drawn_classes(self._drawing_jitter, epoch, showings)
        batches = training_order(
            is_portrait=self._is_portrait[showings.pictures],
            shape_classes=classes,
            spreads_classes=self._drawing_jitter is not None,
            batch_size=self.batch_size,
            seed=self._seed,
            epoch=epoch,
        ).batches
        return Showings(self.indices[showings.pictures[batches]], showings.occurrences[batches])

    def _drawn_classes(
        self, jitter: ScaleJitterAugmentation, epoch: int, showings: Showings
    ) -> NDArray[np.int64]:
        """Number showings by the canvases that they need in an epoch, the smallest canvas first."""
        showings = replace(showings, pictures=self.indices[showings.pictures])
        unique, size_of_showing = np.unique(
            self._drawn_sizes(jitter, epoch, showings), axis=0, return_inverse=True
        )
        canvases = [self.padding.canvas_for([Size(*size)]) for size in unique.tolist()]
        by_area = sorted(set(canvases), key=lambda canvas: (canvas.num_pixels, canvas))
        numbers = np.array([by_area.index(canvas) for canvas in canvases], dtype=np.int64)
        return numbers[size_of_showing.ravel()]

    def _drawn_sizes(
        self, jitter: ScaleJitterAugmentation, epoch: int, showings: Showings
    ) -> NDArray[np.int64]:
        """``(N, 2)`` sizes on the canvas of pictures whose scale is the first that they draw."""
        keys = picture_keys(
            seed=self._seed, epoch=epoch, indices=showings.pictures, occurrences=showings.occurrences
        )
        return jitter.drawn_sizes(self._annotations.sizes[showings.pictures], first_uniforms(keys))

    def requests(self, epoch: int, world: World, *, first_step: int = 0) -> Iterator[BatchRequest]:
        """One process's batches of an epoch, from a step counted from 0 on."""
        order = self.order_of(epoch)
        for step in range(first_step, len(order.pictures)):
            batch = Showings(order.pictures[step], order.occurrences[step])
            yield self._request(epoch, step, batch, world)

    def _request(self, epoch: int, step: int, batch: Showings, world: World) -> BatchRequest:
        own = (share_of(batch.pictures, world).tolist(), share_of(batch.occurrences, world).tolist())
        share = tuple(map(Showing, *own))
        if self._drawing_jitter is not None:
            drawn = self._drawn_sizes(self._drawing_jitter, epoch, batch).tolist()
            return BatchRequest(epoch, share, canvas=self.padding.canvas_for([Size(*size) for size in drawn]))
        if not self._has_step_scale:
            return BatchRequest(epoch, share)
        scale = self._scale_of(epoch, step)
        sizes = {self._annotations.size_of(index) for index in batch.pictures.tolist()}
        placed = [self._augmentation.placed_size(size, scale) for size in sizes]
        return BatchRequest(epoch, share, scale, self.padding.canvas_for(placed))

    def _scale_of(self, epoch: int, step: int) -> Scale:
        """Successive steps take all scales in turn, in any order; of a range each step draws its own.

        Drawn one by one, some would come more often than others over the few steps of a small data set.
        """
        choices = self._augmentation.choices
        turn, place = divmod(step, max(len(choices), 1))
        generator = generator_for(turn_key(seed=self._seed, epoch=epoch, turn=turn))
        if not choices:
            return self._augmentation.draw_scale(generator)
        return choices[int(generator.permutation(len(choices))[place])]

    def layouts(self, epoch: int, world: World) -> Iterator[StepLayout]:
        """How one process's batches of an epoch will look; reads no picture.

        Raises:
            DataError: A batch has no canvas.
        """
        for request in self.requests(epoch, world):
            placements = tuple(
                place_picture(
                    self._annotations,
                    self._augmentation,
                    seed=self._seed,
                    epoch=epoch,
                    showing=showing,
                    scale=request.scale,
                )
                for showing in request.showings
            )
            yield StepLayout(request, placements, canvas_of(request, placements, self.padding))
