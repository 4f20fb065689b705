from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from hrdet_cli.engine.data.samplers import (
    TrainingOrder,
    evaluation_batches,
    share_of,
    training_order,
)
from hrdet_cli.engine.data.showings import EpochSampler
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.engine.geometry import Size


def _order(*, is_portrait: NDArray[np.bool_], batch_size: int, seed: int, epoch: int) -> TrainingOrder:
    """An order in which shapes play no part."""
    return training_order(
        is_portrait=is_portrait,
        shape_classes=np.zeros(len(is_portrait), dtype=np.int64),
        batch_size=batch_size,
        seed=seed,
        epoch=epoch,
    )


def _num_steps(is_portrait: NDArray[np.bool_], batch_size: int) -> int:
    return EpochSampler(None, is_portrait=is_portrait, batch_size=batch_size).num_steps


_ORIENTATIONS = st.lists(st.booleans(), min_size=1, max_size=60).map(
    lambda values: np.array(values, dtype=np.bool_)
)


@given(
    is_portrait=_ORIENTATIONS,
    per_process=st.integers(1, 5),
    world_size=st.integers(1, 64),
    epoch=st.integers(0, 99),
)
def test_all_processes_together_see_each_picture_once_plus_the_named_repeats(
    is_portrait: NDArray[np.bool_], per_process: int, world_size: int, epoch: int
) -> None:
    order = _order(is_portrait=is_portrait, batch_size=per_process * world_size, seed=1, epoch=epoch)
    shares = [share_of(order.batches, World(rank, world_size)) for rank in range(world_size)]
    assert {share.shape for share in shares} == {(len(order.batches), per_process)}
    seen = Counter(np.concatenate(shares).ravel().tolist())
    seen.subtract(order.repeats.tolist())
    assert seen == Counter(range(len(is_portrait)))


@given(is_portrait=_ORIENTATIONS, batch_size=st.integers(1, 20))
def test_every_batch_has_one_orientation_and_repeats_never_fill_a_whole_batch(
    is_portrait: NDArray[np.bool_], batch_size: int
) -> None:
    order = _order(is_portrait=is_portrait, batch_size=batch_size, seed=0, epoch=0)
    assert all(len(set(is_portrait[batch].tolist())) == 1 for batch in order.batches)
    assert len(order.batches) == _num_steps(is_portrait, batch_size)
    for orientation in (False, True):
        assert (is_portrait[order.repeats] == orientation).sum() < batch_size


@pytest.mark.parametrize("world_size", range(1, 65))
def test_shares_laid_side_by_side_are_the_global_batches(world_size: int) -> None:
    is_portrait = np.arange(50) % 3 == 0
    order = _order(is_portrait=is_portrait, batch_size=3 * world_size, seed=5, epoch=2)
    shares = [share_of(order.batches, World(rank, world_size)) for rank in range(world_size)]
    assert np.array_equal(np.concatenate(shares, axis=1), order.batches)
    for step in zip(*shares, strict=True):  # one canvas serves all processes
        assert len(set(is_portrait[np.concatenate(step)].tolist())) == 1


@given(
    is_portrait=_ORIENTATIONS,
    split=st.tuples(st.integers(1, 64), st.integers(1, 8)),
    seed=st.integers(0, 2**32),
    epoch=st.integers(0, 99),
)
def test_the_same_global_batch_over_any_split_of_processes_is_the_same_pictures(
    is_portrait: NDArray[np.bool_], split: tuple[int, int], seed: int, epoch: int
) -> None:
    def steps(world_size: int, per_process: int) -> list[list[int]]:
        """What all processes see in each step, each having computed the order for itself."""
        seen = []
        for rank in range(world_size):
            np.random.seed(rank)  # a process's own state must not matter
            batches = _order(
                is_portrait=is_portrait, batch_size=world_size * per_process, seed=seed, epoch=epoch
            ).batches
            seen.append(share_of(batches, World(rank, world_size)))
        return np.concatenate(seen, axis=1).tolist()  # type: ignore[no-any-return]

    world_size, per_process = split
    alone = steps(1, world_size * per_process)
    assert steps(world_size, per_process) == alone
    assert steps(per_process, world_size) == alone


def test_an_order_is_a_function_of_seed_and_epoch() -> None:
    is_portrait = np.arange(100) % 2 == 0

    def order(seed: int, epoch: int) -> list[int]:
        batches = _order(is_portrait=is_portrait, batch_size=10, seed=seed, epoch=epoch).batches
        flat: list[int] = batches.ravel().tolist()
        return flat

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_batches_of_both_orientations_are_mixed_over_the_epoch() -> None:
    is_portrait = np.arange(400) % 2 == 0
    order = _order(is_portrait=is_portrait, batch_size=4, seed=0, epoch=0)
    changes = np.diff(is_portrait[order.batches[:, 0]].astype(int)) != 0
    assert 30 < changes.sum() < 70  # 99 neighbours, half of them differ


def test_fewer_pictures_than_a_batch_repeat_until_it_is_full() -> None:
    order = _order(is_portrait=np.array([True, False, False]), batch_size=4, seed=0, epoch=0)
    assert {frozenset(batch.tolist()) for batch in order.batches} == {frozenset({0}), frozenset({1, 2})}
    assert sorted(order.repeats.tolist()) == [0, 0, 0, 1, 2]


@given(
    edges=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=40), batch_size=st.integers(1, 7)
)
def test_evaluation_batches_hold_each_picture_once_and_one_canvas_each(
    edges: list[tuple[int, int]], batch_size: int
) -> None:
    canvases = [Size(32 * height, 32 * width) for height, width in edges]
    batches = evaluation_batches(canvases=canvases, batch_size=batch_size)
    assert sorted(position for batch in batches for position in batch) == list(range(len(canvases)))
    assert all(len({canvases[position] for position in batch}) == 1 for batch in batches)
    assert all(len(batch) <= batch_size for batch in batches)
    areas = [canvases[batch[0]].num_pixels for batch in batches]
    assert areas == sorted(areas, reverse=True)


@given(
    shapes=st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=1, max_size=80),
    batch_size=st.integers(1, 9),
    epoch=st.integers(0, 9),
)
def test_batches_are_of_one_class_but_for_those_between_two_classes(
    shapes: list[tuple[bool, int]], batch_size: int, epoch: int
) -> None:
    is_portrait = np.array([portrait for portrait, _ in shapes])
    classes = np.array([number for _, number in shapes])
    order = training_order(
        is_portrait=is_portrait, shape_classes=classes, batch_size=batch_size, seed=3, epoch=epoch
    )
    seen = Counter(order.batches.ravel().tolist())
    seen.subtract(order.repeats.tolist())
    assert seen == Counter(range(len(shapes)))
    assert len(order.batches) == _num_steps(is_portrait, batch_size)
    for portrait in (False, True):
        of_orientation = [batch for batch in order.batches if is_portrait[batch[0]] == portrait]
        assert all((is_portrait[batch] == portrait).all() for batch in of_orientation)
        unrepeated = [batch for batch in of_orientation if not set(batch) & set(order.repeats)]
        spanning = [batch for batch in unrepeated if len(set(classes[batch].tolist())) > 1]
        num_classes = len(set(classes[is_portrait == portrait].tolist()))
        assert len(spanning) <= max(0, num_classes - 1)


def test_repeats_are_of_the_shapes_of_the_last_batch_and_none_comes_twice_while_there_are_others() -> None:
    classes = np.repeat([0, 1, 2], [100, 7, 1])
    order = training_order(
        is_portrait=np.zeros(108, dtype=np.bool_), shape_classes=classes, batch_size=16, seed=0, epoch=0
    )
    assert sorted(classes[order.repeats].tolist()) == [1, 1, 1, 2]
    assert len(set(order.repeats.tolist())) == 4


def test_few_pictures_fill_a_large_batch_about_equally_often() -> None:
    order = training_order(
        is_portrait=np.zeros(3, dtype=np.bool_),
        shape_classes=np.array([0, 1, 1]),
        batch_size=10,
        seed=0,
        epoch=0,
    )
    assert sorted(Counter(order.batches.ravel().tolist()).values()) == [3, 3, 4]
