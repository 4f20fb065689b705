"""Which pictures resamples have."""

import numpy as np

from hrdet_cli.engine.evaluation.resampling.draws import NUM_AT_ONCE, draw_pictures


def drawn(seed: int, num_resamples: int = NUM_AT_ONCE + 3) -> np.ndarray:
    is_drawn = np.array([True, False, True, True, False])
    parts = [*draw_pictures(is_drawn, num_resamples=num_resamples, seed=seed)]
    assert [len(part) for part in parts] == [NUM_AT_ONCE, num_resamples - NUM_AT_ONCE]
    return np.concatenate(parts)


def test_each_resample_has_as_many_pictures_as_there_are_and_none_that_was_left_out() -> None:
    draws = drawn(seed=0)
    assert (draws.sum(axis=1) == 3).all()
    assert not draws[:, [1, 4]].any()
    assert {tuple(row) for row in draws[:, [0, 2, 3]].tolist()} > {(3, 0, 0), (1, 1, 1), (0, 1, 2)}


def test_a_seed_draws_the_same_again() -> None:
    np.testing.assert_array_equal(drawn(seed=1), drawn(seed=1))
    assert (drawn(seed=1) != drawn(seed=2)).any()
