import math

import pytest
import torch
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder as TorchvisionBoxCoder

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder, pairwise_iou, take_rows


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


def test_means_are_subtracted_before_the_division_and_added_after_the_multiplication() -> None:
    coder = BoxCoder(stds=(0.1, 0.1, 0.2, 0.2), means=(0.5, -0.25, 0.0, math.log(2)))
    reference = torch.tensor([10.0, 20.0, 30.0, 60.0])  # centre (20, 40), 20 x 40
    box = torch.tensor([14.0, 10.0, 34.0, 90.0])  # centre (24, 50), 20 x 80: plain deltas 0.2, 0.25, 0, log 2
    torch.testing.assert_close(coder.encode(box, reference), torch.tensor([-3.0, 5.0, 0.0, 0.0]))
    # No deltas are the means: half a width to the right, a quarter of a height up, twice as high.
    decoded = coder.decode(torch.zeros(4), reference)
    torch.testing.assert_close(decoded, torch.tensor([20.0, -10.0, 40.0, 70.0]))


@pytest.mark.parametrize("means", [(0.0, 0.0, 0.0, 0.0), (0.3, -0.1, 0.2, -0.4)])
def test_decoding_undoes_encoding(means: tuple[float, float, float, float]) -> None:
    coder = BoxCoder(stds=(0.1, 0.2, 0.3, 0.4), means=means)
    boxes, references = random_boxes(3, 50), random_boxes(3, 50, seed=1)
    decoded = coder.decode(coder.encode(boxes, references), references)
    torch.testing.assert_close(decoded, boxes, atol=1e-3, rtol=0)


def test_decoded_sides_are_bounded_both_ways() -> None:
    coder = BoxCoder(stds=(1, 1, 1, 1))
    reference = torch.tensor([0.0, 0.0, 16.0, 16.0])
    box = coder.decode(torch.tensor([0.0, 0.0, 1e9, -1e9]), reference)
    torch.testing.assert_close(box, torch.tensor([-492.0, 7.872, 508.0, 8.128]))  # 16 * 62.5 and 16 / 62.5


def test_with_the_enlarging_clamp_a_side_may_shrink_to_nothing_and_grows_no_further() -> None:
    coder = BoxCoder(stds=(1, 1, 1, 1), clamp="enlarging")
    reference = torch.tensor([0.0, 0.0, 16.0, 16.0])
    box = coder.decode(torch.tensor([0.0, 0.0, 1e9, -1e9]), reference)
    torch.testing.assert_close(box, torch.tensor([-492.0, 8.0, 508.0, 8.0]))
    small = coder.decode(torch.tensor([0.0, 0.0, 0.0, -math.log(128)]), reference)  # 1/128 < 1/62.5
    torch.testing.assert_close(small, torch.tensor([0.0, 7.9375, 16.0, 8.0625]))


def test_with_the_enlarging_clamp_boxes_and_deltas_are_torchvisions() -> None:
    ours, theirs = BoxCoder(stds=(0.1, 0.1, 0.2, 0.2), clamp="enlarging"), TorchvisionBoxCoder((10, 10, 5, 5))
    boxes, references = random_boxes(50), random_boxes(50, seed=1)
    torch.testing.assert_close(ours.encode(boxes, references), theirs.encode_single(boxes, references))
    deltas = torch.randn(50, 4, generator=torch.Generator().manual_seed(2)) * 20  # most are clamped
    wanted = theirs.decode_single(deltas, references)
    torch.testing.assert_close(ours.decode(deltas, references), wanted, rtol=1e-5, atol=1e-3)


def test_empty_boxes_encode_to_finite_deltas() -> None:
    coder = BoxCoder(stds=(0.1, 0.1, 0.2, 0.2))
    empty, full = torch.zeros(4), torch.tensor([0.0, 0.0, 10.0, 10.0])
    for box, reference in ((empty, full), (full, empty), (empty, empty)):
        assert coder.encode(box, reference).isfinite().all()


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
