import numpy as np
import pytest

from hrdet_cli.engine.data.synthetic_scene import Scene, draw_scene


def drawn(seed: int, *, num_objects: int, has_crowd: bool = False) -> Scene:
    return draw_scene(
        np.random.default_rng(seed), height=200, width=260, num_objects=num_objects, has_crowd=has_crowd
    )


@pytest.mark.parametrize("seed", range(6))
def test_masks_and_boxes_are_where_the_objects_were_drawn(seed: int) -> None:
    scene, background = drawn(seed, num_objects=5), drawn(seed, num_objects=0)
    assert scene.objects
    change = np.abs(scene.pixels.astype(int) - background.pixels.astype(int)).max(axis=2)
    covered = np.zeros(change.shape, dtype=bool)
    for found in scene.objects:
        x1, y1, x2, y2 = found.box
        changed = change[y1:y2, x1:x2] > 45
        assert changed[found.mask[y1:y2, x1:x2]].mean() > 0.85
        assert found.mask[y1:y2, x1:x2].sum() == found.mask.sum()
        assert found.mask[y1].any()
        assert found.mask[y2 - 1].any()
        assert found.mask[:, x1].any()
        assert found.mask[:, x2 - 1].any()
        covered[max(y1 - 8, 0) : y2 + 8, max(x1 - 8, 0) : x2 + 8] = (
            True  # the shadow falls a few pixels beside
        )
    assert change[~covered].mean() < 10  # grain


@pytest.mark.parametrize("seed", range(6))
def test_no_object_hides_a_part_of_another(seed: int) -> None:
    scene = drawn(seed, num_objects=7, has_crowd=True)
    assert np.sum([found.mask for found in scene.objects], axis=0).max() == 1


def test_a_crowd_is_many_small_things_in_one_region() -> None:
    (crowd,) = drawn(3, num_objects=0, has_crowd=True).objects
    assert crowd.is_crowd
    x1, y1, x2, y2 = crowd.box
    assert min(x2 - x1, y2 - y1) > 40
    inside = crowd.mask[y1:y2, x1:x2]
    starts = np.diff(inside.astype(int), axis=1) == 1
    assert starts.sum(axis=1).max() >= 3  # a row crosses several of them
    assert 0.2 < inside.mean() < 0.9


def test_sizes_range_from_small_to_half_the_picture() -> None:
    edges = [
        max(x2 - x1, y2 - y1)
        for seed in range(40)
        for x1, y1, x2, y2 in (found.box for found in drawn(seed, num_objects=5).objects)
    ]
    assert min(edges) < 22
    assert 80 < max(edges) <= 130


def test_two_generators_of_one_seed_draw_the_same_pixels() -> None:
    assert np.array_equal(drawn(4, num_objects=4).pixels, drawn(4, num_objects=4).pixels)
    assert not np.array_equal(drawn(4, num_objects=4).pixels, drawn(5, num_objects=4).pixels)
