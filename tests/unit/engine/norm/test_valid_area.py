import re

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hrdet_cli.engine.norm.valid_area import ValidArea, ValidRegions, without_padding
from hrdet_cli.engine.structures import Size

CANVAS = Size(128, 160)
SIZES = torch.tensor([[33, 64], [96, 1], [128, 160]])
AREA = ValidArea.on_canvas(CANVAS, SIZES)


def a_map(height: int, width: int) -> Tensor:
    return torch.randn(3, 2, height, width, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_a_picture_has_its_size_rounded_up_to_32_pixels_and_at_each_stride_as_many_cells() -> None:
    # 33x64 pixels are 64x64 with their area's share of the last stride, 96x1 are 96x32.
    assert [cells.sizes.tolist() for cells in AREA.levels] == [
        [[32, 32], [48, 16], [64, 80]],
        [[16, 16], [24, 8], [32, 40]],
        [[8, 8], [12, 4], [16, 20]],
        [[4, 4], [6, 2], [8, 10]],
        [[2, 2], [3, 1], [4, 5]],
        [[1, 1], [2, 1], [2, 3]],  # stride 64 rounds up
        [[1, 1], [1, 1], [1, 2]],
    ]


def test_the_mask_is_the_top_left_corner_and_the_count_is_its_sum() -> None:
    for cells in AREA.levels:
        for is_valid, (rows, columns) in zip(cells.is_valid[:, 0], cells.sizes.tolist(), strict=True):
            expected = torch.zeros_like(is_valid)
            expected[:rows, :columns] = True
            assert torch.equal(is_valid, expected)
        assert cells.count == cells.is_valid.sum()
        assert cells.count.dtype == torch.float64


def test_a_map_s_shape_tells_its_stride() -> None:
    shapes = [(64, 80), (32, 40), (16, 20), (8, 10), (4, 5), (2, 3), (1, 2)]
    assert [AREA.cells_of(a_map(*shape)) for shape in shapes] == [*AREA.levels]


def test_strides_at_which_the_canvas_is_one_cell_have_the_same_cells() -> None:
    area = ValidArea.on_canvas(Size(64, 64), torch.tensor([[33, 64], [1, 1]]))
    for cells in area.levels[-2:]:
        assert area.cells_of(cells.is_valid).is_valid.equal(cells.is_valid)
        assert area.cells_of(cells.is_valid).sizes.equal(cells.sizes)
        assert area.cells_of(cells.is_valid).count.equal(cells.count)


def test_of_regions_all_cells_belong_or_none() -> None:
    cells = ValidRegions(torch.tensor([True, False, True])).cells_of(torch.zeros(3, 8, 2, 5))
    expected = torch.zeros(3, 1, 2, 5, dtype=torch.bool)
    expected[[0, 2]] = True
    assert torch.equal(cells.is_valid, expected)
    assert cells.sizes.tolist() == [[2, 5], [0, 0], [2, 5]]
    assert cells.count == 20


def test_a_map_of_another_canvas_is_refused() -> None:
    message = "no map of this canvas is 41x32; they are 80x64, 40x32, 20x16, 10x8, 5x4, 3x2, 2x1"
    with pytest.raises(ValueError, match=re.escape(message)):
        AREA.cells_of(a_map(32, 41))


def test_a_canvas_that_the_backbone_s_stride_does_not_divide_is_refused() -> None:
    message = "a canvas whose padding is hidden needs sides that are multiples of 32, not 100x64: pad it"
    with pytest.raises(ValueError, match=re.escape(message)):
        ValidArea.on_canvas(Size(64, 100), SIZES)


def test_without_an_area_features_are_left_alone() -> None:
    features = a_map(8, 10)
    assert without_padding(features, None) is features


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_with_one_the_padding_is_zero_and_the_rest_and_the_dtype_are_as_they_were(dtype: torch.dtype) -> None:
    features = a_map(8, 10).to(dtype)
    cleared = without_padding(features, AREA)
    assert cleared.dtype == dtype
    assert torch.equal(cleared, features.where(AREA.cells_of(features).is_valid, 0.0))


@pytest.mark.parametrize("num_cells", [1, 2])
def test_a_picture_s_last_row_and_column_go_on_beyond_its_area(num_cells: int) -> None:
    features = without_padding(a_map(8, 10), AREA)
    cells = AREA.cells_of(features)
    extended = cells.extend(features, num_cells=num_cells)
    assert extended.shape == (3, 2, 8 + num_cells, 10 + num_cells)
    for picture, whole, (rows, columns) in zip(features, extended, cells.sizes.tolist(), strict=True):
        alone = picture[None, :, :rows, :columns]
        expected = torch.zeros_like(whole)
        expected[:, : rows + num_cells, : columns + num_cells] = F.pad(
            alone, (0, num_cells, 0, num_cells), mode="replicate"
        )
        assert torch.equal(whole, expected)


def test_the_gradient_of_what_was_repeated_goes_to_its_source() -> None:
    features = without_padding(a_map(8, 10), AREA).requires_grad_()
    AREA.cells_of(features).extend(features, num_cells=1).sum().backward()  # type: ignore[no-untyped-call]
    assert features.grad is not None
    # Of the first picture's 4x4 cells those at the edges were repeated once, the corner three times.
    assert features.grad[0, 0, :4, :4].tolist() == [[1, 1, 1, 2]] * 3 + [[2, 2, 2, 4]]
