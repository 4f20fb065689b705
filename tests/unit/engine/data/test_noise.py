import pytest
import torch

from hrdet_cli.engine.data.mask_frames import FRAME_CELLS
from hrdet_cli.engine.data.noise import make_noise_batch
from hrdet_cli.engine.geometry import Size


@pytest.mark.parametrize(("num_boxes", "num_rows"), [(0, 8), (1, 8), (8, 8), (9, 16), (500, 512)])
@pytest.mark.parametrize("canvas", [Size(64, 96), Size(256, 64)])
def test_pictures_of_noise_fill_their_canvas_and_have_their_boxes_apart_inside_it(
    canvas: Size, num_boxes: int, num_rows: int
) -> None:
    batch = make_noise_batch(canvas, num_pictures=2, num_boxes=num_boxes, num_classes=3)
    assert batch.images.pixels.shape == (2, 3, canvas.height, canvas.width)
    assert batch.images.pixels.dtype == torch.uint8
    assert batch.images.sizes.tolist() == [[canvas.height, canvas.width]] * 2
    assert batch.targets.boxes.shape == (2, num_rows, 4)
    boxes = batch.targets.boxes[0, :num_boxes]
    assert batch.targets.is_valid.sum(dim=1).tolist() == [num_boxes] * 2
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes >= 0).all()
    assert (boxes <= torch.tensor([canvas.width, canvas.height] * 2)).all()
    assert len({tuple(box) for box in boxes.tolist()}) == num_boxes
    assert set(batch.targets.labels[0, :num_boxes].tolist()) == set(range(min(num_boxes, 3)))


def test_boxes_of_noise_have_masks_that_are_neither_full_nor_empty() -> None:
    batch = make_noise_batch(Size(64, 96), num_pictures=2, num_boxes=9, num_classes=3, with_masks=True)
    masks = batch.targets.masks
    assert masks is not None
    assert masks.shape == (2, 16, FRAME_CELLS, FRAME_CELLS)
    assert ((masks[:, :9].float().mean(dim=(2, 3)) - 0.5).abs() < 0.05).all()
    assert masks[:, 9:].count_nonzero() == 0


def test_pictures_of_noise_differ_from_each_other_but_not_from_call_to_call() -> None:
    first, second = (make_noise_batch(Size(64, 64), num_pictures=2, num_boxes=1, num_classes=1) for _ in "ab")
    assert torch.equal(first.images.pixels, second.images.pixels)
    assert not torch.equal(first.images.pixels[0], first.images.pixels[1])
    assert first.images.keys.tolist() == [0, 1]
