"""Batches for training and for evaluation, made by worker processes."""

import gc
import math
import signal
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Self

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from hrdet_cli.engine.data.batch import Batch, BrokenPicture, Sample
from hrdet_cli.engine.data.collation import pad_pictures
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.padding import PaddingPolicy, SmallestCanvas
from hrdet_cli.engine.data.samplers import evaluation_batches
from hrdet_cli.engine.data.spare_pictures import SparePictures
from hrdet_cli.engine.data.steps import BatchRequest, TrainingSteps, canvas_of
from hrdet_cli.engine.data.worker_memory import WorkerMemory
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import DataError

_NUM_BATCHES_AHEAD = 2  # that each worker makes before they are asked for


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
        pin_memory: Whether batches come in page-locked memory, for faster copies to a GPU.
        skips_broken: Whether another picture takes the place of one that cannot be read; see
            ``Batch.broken``.

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
        pin_memory: bool,
        skips_broken: bool = False,
    ) -> None:
        self.steps = steps
        self._world = world
        spares = SparePictures(dataset, steps.indices) if skips_broken else None
        self._workers = _BatchWorkers(
            _PaddedBatches(dataset, steps.padding, spares=spares),
            num_workers=num_workers,
            pin_memory=pin_memory,
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
        """This process's batches of an epoch, in order; ends a pass that is still under way.

        Args:
            epoch: Counted from 0.
            first_step: Where to enter the epoch, counted from 0.

        Raises:
            DataError: A picture is missing or damaged; while iterating.
        """
        return self.make([*self.steps.requests(epoch, self._world, first_step=first_step)])

    def make(self, requests: Sequence[BatchRequest]) -> Iterator[Batch]:
        """Any batches, in order, as ``batches`` does."""
        return self._workers.make(requests)

    def close(self) -> None:
        """Stop the workers."""
        self._workers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EvaluationLoader:
    """Every picture of a dataset once, in batches whose pictures need the same canvas.

    Processes take whole batches in turn. A batch is therefore the same over any number of processes, and so
    is what is detected in it.

    Args:
        dataset: Where samples come from; its augmentation must not draw anything.
        batch_size: Most pictures in a batch.
        world: Which process this is.
        padding: The canvas of each picture.
        num_workers: As for ``TrainingLoader``.
        pin_memory: As for ``TrainingLoader``.
    """

    def __init__(
        self,
        *,
        dataset: PictureDataset,
        batch_size: int,
        world: World,
        padding: SmallestCanvas,
        num_workers: int,
        pin_memory: bool,
    ) -> None:
        placed = [dataset.placement_of(0, index).placed for index in range(len(dataset))]
        self._num_pictures = len(dataset)
        batches = evaluation_batches(
            canvases=[padding.canvas_for([size]) for size in placed], batch_size=batch_size
        )
        self._num_rounds = math.ceil(len(batches) / world.size)
        self._batches = batches[world.rank :: world.size]
        self._workers = _BatchWorkers(
            _PaddedBatches(dataset, padding), num_workers=num_workers, pin_memory=pin_memory
        )

    def __len__(self) -> int:
        """Number of pictures, of all processes together."""
        return self._num_pictures

    @property
    def num_rounds(self) -> int:
        """Number of batches of the process that has most; others have as many or one fewer."""
        return self._num_rounds

    def batches(self) -> Iterator[Batch]:
        """This process's batches; ends a pass that is still under way.

        Raises:
            DataError: A picture is missing or damaged; while iterating.
        """
        return self._workers.make([BatchRequest(0, tuple(batch)) for batch in self._batches])

    def close(self) -> None:
        """Stop the workers."""
        self._workers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _PaddedBatches(Dataset["Batch | DataError"]):
    """Whole batches on request.

    A data error is returned, not raised: torch would bury its message in a worker's traceback.
    """

    def __init__(
        self, pictures: PictureDataset, padding: PaddingPolicy, *, spares: SparePictures | None = None
    ) -> None:
        self._pictures = pictures
        self._padding = padding
        self._spares = spares
        self._memory = WorkerMemory(_NUM_BATCHES_AHEAD + 1)

    def __getitem__(self, request: BatchRequest) -> Batch | DataError:
        broken: list[BrokenPicture] = []
        try:
            canvas = self._canvas_of(request)
            samples = [self._sample(index, request, canvas, broken) for index in request.indices]
            memory = None if get_worker_info() is None else self._memory
            return replace(pad_pictures(samples, canvas, memory=memory), broken=tuple(broken))
        except DataError as error:
            return error

    def _sample(self, index: int, request: BatchRequest, canvas: Size, broken: list[BrokenPicture]) -> Sample:
        """A picture's sample; where it cannot be read and there are spares, one of these, and it is noted."""
        epoch, scale = request.epoch, request.scale
        try:
            return self._pictures.sample(epoch, index, scale=scale)
        except DataError as error:
            if self._spares is None:
                raise
            broken.append(BrokenPicture(str(self._pictures.annotations.file_names[index]), str(error)))
            return self._spares.replace(index, error, epoch=epoch, scale=scale, canvas=canvas)

    def _canvas_of(self, request: BatchRequest) -> Size:
        pictures = self._pictures
        placements = tuple(
            pictures.placement_of(request.epoch, index, scale=request.scale) for index in request.indices
        )
        try:
            return canvas_of(request, placements, self._padding)
        except DataError as error:
            names = ", ".join(str(pictures.annotations.file_names[index]) for index in request.indices)
            raise DataError(f"{error} The pictures: {names}.") from error


class _BatchWorkers:
    """Worker processes that make batches on request; in this process when their number is 0."""

    def __init__(self, batches: _PaddedBatches, *, num_workers: int, pin_memory: bool) -> None:
        self._batches = batches
        self._num_workers = num_workers
        self._pin_memory = pin_memory
        self._requests: list[BatchRequest] = []
        self._loader: DataLoader[Batch | DataError] | None = None
        self._pass: Generator[Batch] | None = None

    def make(self, requests: Sequence[BatchRequest]) -> Iterator[Batch]:
        """The batches requested, in order.  Workers serve one pass at a time: an unfinished one ends."""
        self._end_pass()
        self._requests[:] = requests
        self._pass = self._run()
        return self._pass

    def close(self) -> None:
        """Stop the workers; they would start again with the next pass."""
        self._end_pass()
        self._loader = None

    def _run(self) -> Generator[Batch]:
        for item in self._start_pass():  # no local name for it: a traceback would keep the workers alive
            if isinstance(item, DataError):
                raise item
            # A worker will use the memory again; where batches are pinned, that was a copy already.
            yield item if self._num_workers == 0 or self._pin_memory else _copy_pixels(item)

    def _start_pass(self) -> "Iterator[Batch | DataError]":
        with warnings.catch_warnings():
            # Presets are made for machines with many cores; more workers than cores only take turns. torch
            # warns where a loader is made, and again where its workers start.
            warnings.filterwarnings("ignore", "This DataLoader will create .* worker processes")
            if self._loader is None:
                self._loader = self._start()
            return iter(self._loader)

    def _start(self) -> "DataLoader[Batch | DataError]":
        return DataLoader(
            self._batches,
            batch_size=None,  # batches come whole from the dataset
            sampler=self._requests,
            num_workers=self._num_workers,
            prefetch_factor=_NUM_BATCHES_AHEAD if self._num_workers > 0 else None,
            persistent_workers=self._num_workers > 0,
            pin_memory=self._pin_memory,
            worker_init_fn=_start_worker,
            generator=torch.Generator(),  # torch seeds its workers from it, not from the global one
        )

    def _end_pass(self) -> None:
        if self._pass is not None:
            self._pass.close()
            self._pass = None


def _copy_pixels(batch: Batch) -> Batch:
    return replace(batch, images=replace(batch.images, pixels=batch.images.pixels.clone()))


def _start_worker(_worker: int) -> None:
    """Leave signals to the parent, and its memory alone.

    A terminal's Ctrl-C and a scheduler's SIGTERM reach workers too; the parent needs them for its step. A
    search for cycles writes into every object, also into those that a worker shares with its parent until one
    of them writes: it would copy 85 MB in each worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    gc.freeze()
