import math

import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes import BoxCoder, clip_boxes, have_area, pairwise_iou, take_rows


def random_boxes(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(*shape, 2, generator=generator) * 100
    return torch.cat((corners, corners + 1 + torch.rand(*shape, 2, generator=generator) * 50), dim=-1)


def test_deltas_are_the_table() -> None:
    coder = BoxCoder(stds=(0.1, 0.1, 0.2, 0.2))
    reference = torch.tensor([10.0, 20.0, 30.0, 60.0])  # centre (20, 40), 20 x 40
    box = torch.tensor([14.0, 10.0, 34.0, 90.0])  # centre (24, 50), 20 x 80
    wanted = torch.tensor([4 / 20 / 0.1, 10 / 40 / 0.1, 0, math.log(2) / 0.2])
    torch.testing.assert_close(coder.encode(box, reference), wanted)


def test_decoding_undoes_encoding() -> None:
    coder = BoxCoder(stds=(0.1, 0.2, 0.3, 0.4))
    boxes, references = random_boxes(3, 50), random_boxes(3, 50, seed=1)
    decoded = coder.decode(coder.encode(boxes, references), references)
    torch.testing.assert_close(decoded, boxes, atol=1e-3, rtol=0)


def test_decoded_sides_are_bounded_both_ways() -> None:
    coder = BoxCoder(stds=(1, 1, 1, 1))
    reference = torch.tensor([0.0, 0.0, 16.0, 16.0])
    box = coder.decode(torch.tensor([0.0, 0.0, 1e9, -1e9]), reference)
    torch.testing.assert_close(box, torch.tensor([-492.0, 7.872, 508.0, 8.128]))  # 16 * 62.5 and 16 / 62.5


def test_empty_boxes_encode_to_finite_deltas() -> None:
    coder = BoxCoder(stds=(0.1, 0.1, 0.2, 0.2))
    empty, full = torch.zeros(4), torch.tensor([0.0, 0.0, 10.0, 10.0])
    for box, reference in ((empty, full), (full, empty), (empty, empty)):
        assert coder.encode(box, reference).isfinite().all()


def test_clipping_cuts_at_the_height_and_width_of_each_picture() -> None:
    boxes = torch.tensor([-5.0, -5.0, 100.0, 100.0]).expand(2, 3, 2, 4)
    sizes = torch.tensor([[30, 40], [50, 20]])
    clipped = clip_boxes(boxes, sizes)
    assert clipped[0, 2, 1].tolist() == [0, 0, 40, 30]
    assert clipped[1, 0, 0].tolist() == [0, 0, 20, 50]


def test_a_box_outside_its_picture_has_no_area_left() -> None:
    boxes = torch.tensor([[[50.0, 5.0, 60.0, 9.0], [5.0, -9.0, 7.0, -2.0], [39.0, 29.0, 50.0, 50.0]]])
    assert have_area(clip_boxes(boxes, torch.tensor([[30, 40]]))).tolist() == [[False, False, True]]


def test_overlaps_equal_a_naive_float64_rewrite() -> None:
    boxes, others = random_boxes(2, 7), random_boxes(2, 30, seed=1)
    for picture in range(2):
        iou = pairwise_iou(boxes, others)[picture]
        for row, (ax1, ay1, ax2, ay2) in enumerate(boxes[picture].tolist()):
            for column, (bx1, by1, bx2, by2) in enumerate(others[picture].tolist()):
                shared = max(0, min(ax2, bx2) - max(ax1, bx1)) * max(0, min(ay2, by2) - max(ay1, by1))
                union = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1) - shared
                assert abs(iou[row, column].item() - shared / union) < 1e-5


def test_a_box_overlaps_itself_by_exactly_one_and_empty_boxes_overlap_nothing() -> None:
    boxes = random_boxes(1, 20)
    assert (pairwise_iou(boxes, boxes).diagonal(dim1=1, dim2=2) == 1).all()
    empty = torch.zeros(1, 1, 4)
    assert pairwise_iou(empty, torch.cat((boxes, empty), dim=1)).tolist() == [[[0.0] * 21]]


def test_rows_are_taken_picture_by_picture() -> None:
    values = torch.arange(12).view(2, 3, 2)
    index = torch.tensor([[2, 0], [1, 1]])
    assert take_rows(values, index).tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]
    assert take_rows(values[..., 0], index).tolist() == [[4, 0], [8, 8]]
