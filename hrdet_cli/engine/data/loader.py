"""Batches for training and for evaluation, made by worker processes."""

import math
import signal
import warnings
from collections.abc import Generator, Iterator, Sequence
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.engine.data.collation import pad_pictures
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.padding import PaddingPolicy, SmallestCanvas
from hrdet_cli.engine.data.samplers import (
    TrainingOrder,
    evaluation_batches,
    num_training_steps,
    share_of,
    training_order,
)
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.errors import DataError

_Request = list[tuple[int, int]]  # (epoch, index) of each picture of a batch


class TrainingLoader:
    """Training batches of one process.

    The batches of an epoch are a function of (dataset's seed, epoch, global batch size): neither the number
    of workers nor the number of processes nor where an epoch is entered changes a picture.

    Workers start with the first pass and live until ``close``.

    Args:
        dataset: Where samples come from.
        indices: ``(M,)`` positions in the annotation file of the pictures that take part.
        batch_size_per_process: Pictures in a batch of this process; the same on every process.
        world: Which process this is.
        padding: The canvas of each batch.
        num_workers: Worker processes; with 0 this process makes the batches itself.
        pin_memory: Whether batches come in page-locked memory, for faster copies to a GPU.
    """

    def __init__(
        self,
        *,
        dataset: PictureDataset,
        indices: NDArray[np.int64],
        batch_size_per_process: int,
        world: World,
        padding: PaddingPolicy,
        num_workers: int,
        pin_memory: bool,
    ) -> None:
        self._seed = dataset.seed
        self._indices = indices
        self._batch_size = batch_size_per_process * world.size
        self._world = world
        heights, widths = dataset.annotations.sizes[indices].T
        self._is_portrait = heights > widths
        self._workers = _BatchWorkers(
            _PaddedBatches(dataset, padding), num_workers=num_workers, pin_memory=pin_memory
        )

    @property
    def num_steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return num_training_steps(is_portrait=self._is_portrait, batch_size=self._batch_size)

    @property
    def num_images_per_step(self) -> int:
        """Pictures in a global batch."""
        return self._batch_size

    def order_of(self, epoch: int) -> TrainingOrder:
        """The global batches of an epoch, as positions in the annotation file."""
        order = training_order(
            is_portrait=self._is_portrait, batch_size=self._batch_size, seed=self._seed, epoch=epoch
        )
        return TrainingOrder(batches=self._indices[order.batches], repeats=self._indices[order.repeats])

    def batches(self, epoch: int, *, first_step: int = 0) -> Iterator[Batch]:
        """This process's batches of an epoch, in order; ends a pass that is still under way.

        Args:
            epoch: Counted from 0.
            first_step: Where to enter the epoch, counted from 0.

        Raises:
            DataError: A picture is missing or damaged; while iterating.
        """
        shares = share_of(self.order_of(epoch).batches[first_step:], self._world)
        return self._workers.make([[(epoch, index) for index in share] for share in shares.tolist()])

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
        return self._workers.make([[(0, index) for index in batch] for batch in self._batches])

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

    def __init__(self, pictures: PictureDataset, padding: PaddingPolicy) -> None:
        self._pictures = pictures
        self._padding = padding

    def __getitem__(self, request: _Request) -> Batch | DataError:
        try:
            return pad_pictures([self._pictures[picture] for picture in request], self._padding)
        except DataError as error:
            return error


class _BatchWorkers:
    """Worker processes that make batches on request; in this process when their number is 0."""

    def __init__(self, batches: _PaddedBatches, *, num_workers: int, pin_memory: bool) -> None:
        self._batches = batches
        self._num_workers = num_workers
        self._pin_memory = pin_memory
        self._requests: list[_Request] = []
        self._loader: DataLoader[Batch | DataError] | None = None
        self._pass: Generator[Batch] | None = None

    def make(self, requests: Sequence[_Request]) -> Iterator[Batch]:
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
        if self._loader is None:
            self._loader = self._start()
        for item in self._loader:  # no local name for it: a traceback would keep the workers alive
            if isinstance(item, DataError):
                raise item
            yield item

    def _start(self) -> "DataLoader[Batch | DataError]":
        with warnings.catch_warnings():
            # Presets are made for machines with many cores; more workers than cores only take turns.
            warnings.filterwarnings("ignore", "This DataLoader will create .* worker processes")
            return DataLoader(
                self._batches,
                batch_size=None,  # batches come whole from the dataset
                sampler=self._requests,
                num_workers=self._num_workers,
                persistent_workers=self._num_workers > 0,
                pin_memory=self._pin_memory,
                worker_init_fn=_leave_signals_to_parent,
                generator=torch.Generator(),  # torch seeds its workers from it, not from the global one
            )

    def _end_pass(self) -> None:
        if self._pass is not None:
            self._pass.close()
            self._pass = None


def _leave_signals_to_parent(_worker: int) -> None:
    """A terminal's Ctrl-C and a scheduler's SIGTERM reach workers too; the parent needs them for its step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
