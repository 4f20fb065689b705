"""Which pictures go into which batch.

Training batches are formed for all processes together, then shared out: the order of an epoch is a function
of (seed, epoch, global batch size) and the same on 1 process and on 64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.keys import generator_for, order_key
from hrdet_cli.engine.distributed.ranks import World
from hrdet_cli.engine.geometry import Size

_NONE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class TrainingOrder:
    """The global batches of one epoch.

    Attributes:
        batches: ``(S, B)`` int64, S steps of B pictures of one orientation, as positions in the given array.
        repeats: ``(R,)`` int64, the pictures that occur once more to fill the last batch of their
            orientation.
    """

    batches: NDArray[np.int64]
    repeats: NDArray[np.int64]


def training_order(
    *,
    is_portrait: NDArray[np.bool_],
    shape_classes: NDArray[np.int64],
    batch_size: int,
    seed: int,
    epoch: int,
    spreads_classes: bool = False,
) -> TrainingOrder:
    """Shuffle pictures into global batches of one orientation and, but for a few, one class of shapes each.

    Every picture occurs once.  Those that do not fill a batch of their class share one with the next class.
    Where an orientation does not fill its last batch, pictures of it occur again; dropping some instead would
    make rare orientations rarer.

    Args:
        is_portrait: ``(M,)`` bool.
        shape_classes: ``(M,)`` int64, such as zeros; batches that span classes span neighbouring numbers.
        batch_size: Pictures in one step over all processes.
        seed: The run's seed.
        epoch: Counted from 0.
        spreads_classes: Whether the steps of each class come at even distances; else as chance has it.
    """
    generator = generator_for(order_key(seed=seed, epoch=epoch))
    batches, repeats = [], []
    for orientation in (False, True):
        is_chosen = is_portrait == orientation
        classes = np.unique(shape_classes[is_chosen])
        members = [np.flatnonzero(is_chosen & (shape_classes == number)) for number in classes]
        shuffled = np.concatenate([_NONE, *map(generator.permutation, members)])
        num_missing = -len(shuffled) % batch_size
        repeated = np.resize(shuffled[::-1], num_missing)  # from the end: of the shapes of the last batch
        batches.append(np.concatenate([shuffled, repeated]).reshape(-1, batch_size))
        repeats.append(repeated)
    shuffled_batches = generator.permutation(np.concatenate(batches), axis=0)
    if spreads_classes:
        highest = shape_classes[shuffled_batches].max(axis=1)
        shuffled_batches = shuffled_batches[_evenly_spread(highest, generator)]
    return TrainingOrder(batches=shuffled_batches, repeats=np.concatenate(repeats))


def _evenly_spread(classes: NDArray[np.int64], generator: np.random.Generator) -> NDArray[np.int64]:
    """``(S,)`` an order of steps of which those of each class are as far apart as each other.

    So a few successive steps have as much of each class as the epoch has, as far as whole steps can.
    """
    times = np.zeros(len(classes))
    for number in np.unique(classes):
        (steps,) = np.nonzero(classes == number)
        times[steps] = (np.arange(len(steps)) + generator.random()) / len(steps)
    order: NDArray[np.int64] = np.argsort(times, kind="stable")
    return order


def share_of(batches: NDArray[np.int64], world: World) -> NDArray[np.int64]:
    """One process's part of global batches.

    Args:
        batches: ``(..., B)`` with B divisible by the number of processes.
        world: Which process it is.

    Returns:
        ``(..., B / size)``, the columns that belong to the process.
    """
    size = batches.shape[-1] // world.size
    return batches[..., world.rank * size : (world.rank + 1) * size]


def evaluation_batches(*, canvases: Sequence[Size], batch_size: int) -> list[list[int]]:
    """Group pictures that need the same canvas, so that no detection depends on which others share its batch.

    Args:
        canvases: For each picture the canvas it would get alone.
        batch_size: Most pictures in a batch.

    Returns:
        Positions of the pictures, each once; the largest canvas first, so that too little memory shows at
        once.
    """
    positions_by_canvas: dict[Size, list[int]] = {}
    for position, canvas in enumerate(canvases):
        positions_by_canvas.setdefault(canvas, []).append(position)
    return [
        positions[start : start + batch_size]
        for _, positions in sorted(positions_by_canvas.items(), key=lambda item: -item[0].num_pixels)
        for start in range(0, len(positions), batch_size)
    ]
