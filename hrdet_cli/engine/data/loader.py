"""Batches for training and for evaluation, made by worker processes and padded on the device."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Self

import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from hrdet_cli.engine.data.batch import Batch, PictureFault, Sample
from hrdet_cli.engine.data.collation import collate
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.padding import PaddingPolicy, SmallestCanvas
from hrdet_cli.engine.data.samplers import evaluation_batches
from hrdet_cli.engine.data.showings import Showing
from hrdet_cli.engine.data.spare_pictures import SparePictures
from hrdet_cli.engine.data.step_layout import BatchRequest, canvas_of
from hrdet_cli.engine.data.steps import TrainingSteps
from hrdet_cli.engine.data.unpadded_batch import UnpaddedBatch
from hrdet_cli.engine.data.views import Samples
from hrdet_cli.engine.data.worker_memory import WorkerMemory
from hrdet_cli.engine.data.workers import NUM_BATCHES_AHEAD, BatchWorkers
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError, HrdetError, OutOfMemoryError


class TrainingLoader:
    """Training batches of one process.

    The batches of an epoch are a function of (dataset's seed, epoch, global batch size): neither the number
    of workers nor the number of processes nor where an epoch is entered changes a picture.

    Workers start with the first pass and live until ``close``.

    Args:
        dataset: Where samples come from.
        steps: What is decided about the steps of all processes, for the same pictures and augmentation.
        world: Which process this is.
        num_workers: Worker processes; with 0 this process makes the batches itself.
        device: Where batches are padded.
        skips_broken: Whether another picture takes the place of one that cannot be read; see
            ``Batch.broken``.
        has_equal_rows: Whether targets of all batches have as many rows as those of the fullest picture need.

    Attributes:
        steps: As given.
    """

    def __init__(
        self,
        *,
        dataset: PictureDataset,
        steps: TrainingSteps,
        world: World,
        num_workers: int,
        device: torch.device,
        skips_broken: bool = False,
        has_equal_rows: bool = False,
    ) -> None:
        self.steps = steps
        self._world = world
        self._device = device
        spares = SparePictures(dataset, steps.indices) if skips_broken else None
        self._workers = BatchWorkers(
            _UnpaddedBatches(
                dataset,
                steps.padding,
                spares=spares,
                fewest_boxes=steps.most_boxes if has_equal_rows else 0,
            ),
            num_workers=num_workers,
            pin_memory=device.type == "cuda",
        )

    @property
    def num_steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return self.steps.num_steps

    @property
    def num_images_per_step(self) -> int:
        """Pictures in a global batch."""
        return self.steps.batch_size

    def batches(self, epoch: int, *, first_step: int = 0) -> Iterator[Batch]:
        """This process's batches of an epoch, in order, on the device; ends a pass that is still under way.

        Args:
            epoch: Counted from 0.
            first_step: Where to enter the epoch, counted from 0.

        Raises:
            DataError: A picture is missing or damaged; while iterating.
        """
        return self.make([*self.steps.requests(epoch, self._world, first_step=first_step)])

    def make(self, requests: Sequence[BatchRequest]) -> Iterator[Batch]:
        """Any batches, in order, as ``batches`` does."""
        return (batch.padded(self._device) for batch in self._workers.make(requests))

    def close(self) -> None:
        """Stop the workers."""
        self._workers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EvaluationLoader:
    """Every picture of a dataset once, or every view, in batches whose pictures need the same canvas.

    Processes take whole batches in turn. A batch is therefore the same over any number of processes, and so
    is what is detected in it.

    Args:
        dataset: Where samples come from; no augmentation of theirs may draw anything.
        batch_size: Most pictures in a batch.
        world: Which process this is.
        padding: The canvas of each picture.
        num_workers: As for ``TrainingLoader``.
        device: As for ``TrainingLoader``.
        leaves_out_broken: Whether a picture that cannot be read is left out of its batch, in which there may
            be no picture then; see ``Batch.broken``.
    """

    def __init__(
        self,
        *,
        dataset: Samples,
        batch_size: int,
        world: World,
        padding: SmallestCanvas,
        num_workers: int,
        device: torch.device,
        leaves_out_broken: bool = False,
    ) -> None:
        self._dataset = dataset
        self._placed = [dataset.placement_of(0, Showing(index)).placed for index in range(len(dataset))]
        self._canvases = [padding.canvas_for([size]) for size in self._placed]
        batches = evaluation_batches(canvases=self._canvases, batch_size=batch_size)
        self._num_rounds = math.ceil(len(batches) / world.size)
        self._batches = batches[world.rank :: world.size]
        self._device = device
        self._workers = BatchWorkers(
            _UnpaddedBatches(dataset, padding, leaves_out_broken=leaves_out_broken),
            num_workers=num_workers,
            pin_memory=device.type == "cuda",
        )

    def __len__(self) -> int:
        """Number of samples, of all processes together."""
        return len(self._placed)

    def useful_shares(self) -> dict[str, float]:
        """Share of its canvas that each picture fills, in (0, 1], by its file; of all its views together."""
        useful, whole = Counter[str](), Counter[str]()
        for index, (placed, canvas) in enumerate(zip(self._placed, self._canvases, strict=True)):
            name = self._dataset.name_of(index)
            useful[name] += placed.num_pixels
            whole[name] += canvas.num_pixels
        return {name: useful[name] / whole[name] for name in whole}

    @property
    def num_rounds(self) -> int:
        """Number of batches of the process that has most; others have as many or one fewer."""
        return self._num_rounds

    def batches(self) -> Iterator[Batch]:
        """This process's batches, on the device; ends a pass that is still under way.

        Raises:
            DataError: A picture is missing or damaged; while iterating.
        """
        requests = [BatchRequest(0, tuple(map(Showing, batch))) for batch in self._batches]
        return (batch.padded(self._device) for batch in self._workers.make(requests))

    def close(self) -> None:
        """Stop the workers."""
        self._workers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _UnpaddedBatches(Dataset["UnpaddedBatch | HrdetError"]):
    """Whole batches on request.

    An error is returned, not raised: torch would bury its message in a worker's traceback.
    """

    def __init__(
        self,
        pictures: Samples,
        padding: PaddingPolicy,
        *,
        spares: SparePictures | None = None,
        leaves_out_broken: bool = False,
        fewest_boxes: int = 0,
    ) -> None:
        self._pictures = pictures
        self._padding = padding
        self._spares = spares
        self._leaves_out_broken = leaves_out_broken
        self._fewest_boxes = fewest_boxes

    @cached_property
    def _memories(self) -> tuple[WorkerMemory, WorkerMemory]:
        """Of the process that makes the batches, for pixels and for masks."""
        if get_worker_info() is None:
            return WorkerMemory(1, is_shared=False), WorkerMemory(1, is_shared=False)
        return WorkerMemory(NUM_BATCHES_AHEAD + 1), WorkerMemory(NUM_BATCHES_AHEAD + 1)

    def __getitem__(self, request: BatchRequest) -> UnpaddedBatch | HrdetError:
        pixel_memory, mask_memory = self._memories
        broken: list[PictureFault] = []
        try:
            canvas = self._canvas_of(request)
            rooms = pixel_memory.take((len(request.showings), 3 * canvas.num_pixels))
            drawn = [
                self._sample(showing, request, canvas, room, broken)
                for showing, room in zip(request.showings, rooms, strict=True)
            ]
            samples = [sample for sample in drawn if sample is not None]
            batch = collate(samples, canvas, fewest_boxes=self._fewest_boxes, mask_memory=mask_memory)
            return replace(batch, broken=tuple(broken))
        except (DataError, OutOfMemoryError) as error:
            return error

    def _sample(
        self, showing: Showing, request: BatchRequest, canvas: Size, room: Tensor, broken: list[PictureFault]
    ) -> Sample | None:
        """A picture's sample; where it cannot be read, a spare one or none, if that is wanted, and a note."""
        epoch, scale = request.epoch, request.scale
        try:
            return self._pictures.sample(epoch, showing, scale=scale, room=room)
        except DataError as error:
            if self._spares is None and not self._leaves_out_broken:
                raise
            broken.append(PictureFault(self._pictures.name_of(showing.index), str(error)))
            if self._spares is None:
                return None
            return self._spares.replace(showing, error, epoch=epoch, scale=scale, canvas=canvas, room=room)

    def _canvas_of(self, request: BatchRequest) -> Size:
        pictures = self._pictures
        placements = tuple(
            pictures.placement_of(request.epoch, showing, scale=request.scale) for showing in request.showings
        )
        try:
            return canvas_of(request, placements, self._padding)
        except DataError as error:
            names = ", ".join(map(pictures.name_of, request.indices))
            raise DataError(f"{error} The pictures: {names}.") from error
