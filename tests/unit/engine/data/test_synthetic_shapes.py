import numpy as np
import pytest

from hrdet_cli.engine.data.synthetic_shapes import SHAPE_CLASSES, ShapeClass, draw_stamp

by_name = pytest.mark.parametrize("shape", SHAPE_CLASSES, ids=lambda shape: shape.name)


# Areas over the squared diameter of the unit disc, from school geometry.  The cross: two bars of 0.6 x 1.84
# less their common square, (2 * 1.104 - 0.36) / 4; the star: ten triangles of sides 1 and 0.45 at 36 degrees.
AREA_SHARES = {
    "striped disc": np.pi / 4,
    "checked square": 1.6**2 / 4,
    "dotted triangle": 3 * np.sqrt(3) / 16,
    "banded ring": np.pi * (1 - 0.55**2) / 4,
    "faceted star": 10 * 0.5 * 0.45 * np.sin(np.pi / 5) / 4,
    "cored cross": 0.462,
}


@by_name
@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_a_stamp_covers_the_area_of_its_shape(shape: ShapeClass, angle: float) -> None:
    stamp = draw_stamp(shape, diameter=90, angle=angle, stretch=1.1)
    assert stamp.coverage.sum() == pytest.approx(AREA_SHARES[shape.name] * 90**2, rel=0.02)


@by_name
@pytest.mark.parametrize("diameter", [9.0, 17.3, 60.0])
def test_a_stamp_is_cut_tightly(shape: ShapeClass, diameter: float) -> None:
    mask = draw_stamp(shape, diameter=diameter, angle=0.3, stretch=0.9).mask
    assert mask[0].any()
    assert mask[-1].any()
    assert mask[:, 0].any()
    assert mask[:, -1].any()


def test_a_stretched_disc_is_wider_and_flatter() -> None:
    height, width = draw_stamp(SHAPE_CLASSES[0], diameter=80, angle=0.7, stretch=1.25).coverage.shape
    assert width == pytest.approx(100, abs=1)
    assert height == pytest.approx(64, abs=1)


@by_name
def test_every_texture_has_two_tones(shape: ShapeClass) -> None:
    stamp = draw_stamp(shape, diameter=60, angle=0.2, stretch=1.0)
    bright_share = stamp.brightness[stamp.mask].mean()
    assert 0.2 < bright_share < 0.8


def test_category_ids_have_gaps_and_nothing_is_named_twice() -> None:
    ids = [shape.category_id for shape in SHAPE_CLASSES]
    assert ids == sorted(set(ids))
    assert ids != list(range(ids[0], ids[0] + len(ids)))
    assert len({shape.name for shape in SHAPE_CLASSES}) == 6
