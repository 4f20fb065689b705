import numpy as np
import pytest
from pycocotools import mask as coco_mask

from hrdet_cli.engine.data.run_lengths import bitmap_of_runs, unpack_run_lengths
from hrdet_cli.engine.geometry import Size


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 1.0])
@pytest.mark.parametrize("size", [Size(1, 1), Size(40, 57), Size(700, 900)])
def test_what_pycocotools_packs_is_unpacked_to_the_same_bitmap(size: Size, share: float) -> None:
    generator = np.random.default_rng(0)
    blocks = generator.random((-(-size.height // 13), -(-size.width // 13))) < share
    bitmap = np.kron(blocks, np.ones((13, 13), dtype=bool))[: size.height, : size.width]
    packed = coco_mask.encode(np.asfortranarray(bitmap, dtype=np.uint8))["counts"]
    lengths = unpack_run_lengths(packed)
    assert lengths.sum() == size.num_pixels
    assert lengths[1:].min(initial=1) > 0
    assert (bitmap_of_runs(lengths, size) == bitmap).all()


@pytest.mark.parametrize(
    "lengths", [[5], [0, 5], [3, 1, 1], [3, 1, 500, 400_000, 2, 17, 17, 1, 10_000_000], [10**9, 1, 9]]
)
def test_lengths_come_back_whatever_their_order_of_magnitude(lengths: list[int]) -> None:
    runs = {"size": [1, sum(lengths)], "counts": lengths}
    packed = coco_mask.frPyObjects(runs, 1, sum(lengths))["counts"]
    assert unpack_run_lengths(packed).tolist() == lengths


def test_no_letters_are_no_lengths() -> None:
    assert unpack_run_lengths(b"").tolist() == []
