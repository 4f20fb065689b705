import pytest
import torch
from torchvision.models.detection import retinanet_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator as TorchvisionAnchorGenerator
from torchvision.models.detection.image_list import ImageList

from hrdet_cli.engine.models.dense.anchor_shapes import AnchorLayout, CellArea
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator, Anchors
from hrdet_cli.engine.structures import Size


def small_anchors() -> Anchors:
    generator = AnchorGenerator(strides=(4, 8), scale=8, aspect_ratios=(0.25, 1.0, 4.0))
    anchors: Anchors = generator([Size(2, 3), Size(1, 2)])
    return anchors


def grids_of(canvas: Size, strides: tuple[int, ...]) -> list[Size]:
    """Of a network that rounds up, such as FPN."""
    return [Size(-(-canvas.height // stride), -(-canvas.width // stride)) for stride in strides]


def test_anchors_are_the_table() -> None:
    anchors = small_anchors()
    # Stride 4, scale 8: area 32 x 32. Height over width 0.25 gives 64 wide, 16 high, around (0, 0).
    assert anchors.level_lengths == [18, 6]
    assert anchors.boxes[:6].tolist() == [
        [-32, -8, 32, 8],
        [-16, -16, 16, 16],
        [-8, -32, 8, 32],
        [-28, -8, 36, 8],  # the next column, one stride to the right
        [-12, -16, 20, 16],
        [-4, -32, 12, 32],
    ]
    assert anchors.boxes[9].tolist() == [-32, -4, 32, 12]  # row 1, column 0
    assert anchors.boxes[18].tolist() == [-64, -16, 64, 16]  # the coarser level starts
    assert anchors.boxes[-1].tolist() == [-8, -64, 24, 64]


@pytest.mark.parametrize("per_octave", [1, 3])
def test_each_level_may_have_a_scale_of_its_own(per_octave: int) -> None:
    both = AnchorGenerator(strides=(4, 8), scale=(8, 3.3), scales_per_octave=per_octave)
    for level, (stride, scale) in enumerate(((4, 8), (8, 3.3))):
        alone = AnchorGenerator(strides=(stride,), scale=scale, scales_per_octave=per_octave)
        assert torch.equal(both.cells[level], alone.cells[0])
    with pytest.raises(ValueError, match="zip"):
        AnchorGenerator(strides=(4, 8), scale=(8, 3, 2))


def test_nothing_is_rounded() -> None:
    anchors = AnchorGenerator(strides=(4,))([Size(1, 1)])
    # Height over width 0.5: width 32 * sqrt(2) = 45.2548, height 22.6274.
    wanted = torch.tensor([-22.627417, -11.3137085, 22.627417, 11.3137085])
    torch.testing.assert_close(anchors.boxes[0], wanted)


@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_anchors_are_centred_in_their_cells_where_the_offset_says(offset: float) -> None:
    generator = AnchorGenerator(strides=(4, 8, 16), layout=AnchorLayout(offset=offset))
    anchors = generator([Size(8, 12), Size(4, 6), Size(2, 3)])
    middles = (anchors.boxes[:, :2] + anchors.boxes[:, 2:]) / 2
    strides = torch.tensor([4.0] * 288 + [8] * 72 + [16] * 18)[:, None]
    torch.testing.assert_close(anchors.cell_corners + offset * strides, middles, atol=1e-4, rtol=0)


# The base anchors of 2019 for ratios 0.5, 1 and 2, with the pixel added that its far corners include. The
# first: stride 4, 32 * sqrt(2) = 45.25 wide and 22.63 high, around (4 - 1) / 2 = 1.5, the middle of pixels
# 0 to 3. From 1.5 - 44.25 / 2 = -20.63 to 1.5 + 44.25 / 2 = 23.63 in x and from 1.5 - 21.63 / 2 = -9.31 to
# 12.31 in y: rounded -21, -9, 24, 12. Pixel 24 ends at 25, pixel 12 at 13.
BASE_ANCHORS_OF_2019 = {
    4: [[-21, -9, 25, 13], [-14, -14, 18, 18], [-9, -21, 13, 25]],
    8: [[-41, -19, 49, 27], [-28, -28, 36, 36], [-19, -41, 27, 49]],
    16: [[-83, -37, 99, 53], [-56, -56, 72, 72], [-37, -83, 53, 99]],
    32: [[-165, -75, 197, 107], [-112, -112, 144, 144], [-75, -165, 107, 197]],
    64: [[-330, -149, 394, 213], [-224, -224, 288, 288], [-149, -330, 213, 394]],
}


def test_rounded_anchors_in_the_middle_of_their_cells_are_those_of_2019() -> None:
    strides = tuple(BASE_ANCHORS_OF_2019)
    generator = AnchorGenerator(strides=strides, layout=AnchorLayout(offset=0.5, is_rounded=True))
    assert generator.cells.tolist() == list(BASE_ANCHORS_OF_2019.values())
    anchors = generator(grids_of(Size(64, 96), strides))
    row_1_column_2 = (24 + 2) * 3  # of the finest level, which has 24 columns
    assert anchors.boxes[row_1_column_2].tolist() == [-21 + 8, -9 + 4, 25 + 8, 13 + 4]


@pytest.mark.parametrize("canvas", [Size(64, 128), Size(160, 224), Size(800, 1088)])
@pytest.mark.parametrize("ratios", [(0.5, 1.0, 2.0), (0.3, 0.7, 1.0, 1.3, 3.0)])
def test_rounded_anchors_in_steps_of_the_canvas_are_torchvisions(
    canvas: Size, ratios: tuple[float, ...]
) -> None:
    strides = (4, 8, 16, 32, 64)
    grids = grids_of(canvas, strides)
    theirs = TorchvisionAnchorGenerator(
        sizes=tuple((8 * stride,) for stride in strides), aspect_ratios=(ratios,) * 5
    )
    [wanted] = theirs(
        ImageList(torch.zeros(1, 3, canvas.height, canvas.width), [(canvas.height, canvas.width)]),
        [torch.zeros(1, 1, grid.height, grid.width) for grid in grids],
    )
    layout = AnchorLayout(is_rounded=True, step="canvas", area="canvas")
    anchors = AnchorGenerator(strides=strides, aspect_ratios=ratios, layout=layout)(grids)
    assert torch.equal(anchors.boxes, wanted)
    if canvas.height % 64:  # or the two kinds of step would be the same
        assert not torch.equal(AnchorGenerator(strides=strides, aspect_ratios=ratios)(grids).boxes, wanted)


def test_several_scales_share_out_an_octave_ratio_by_ratio() -> None:
    [shapes] = AnchorGenerator(strides=(8,), scale=4, scales_per_octave=3, aspect_ratios=(0.25, 1.0)).cells
    # From the side 32 to below 64, the next level's: 32, 32 * 2 ** (1 / 3) = 40.3175, 32 * 2 ** (2 / 3) =
    # 50.7968. Height over width 0.25 doubles the width and halves the height.
    sides = [32, 40.3175, 50.7968]
    wanted = [[2 * side, side / 2] for side in sides] + [[side, side] for side in sides]
    torch.testing.assert_close(shapes[:, 2:] - shapes[:, :2], torch.tensor(wanted), atol=1e-4, rtol=0)
    assert AnchorGenerator(strides=(8,), scales_per_octave=3).num_per_cell == 9


def test_rounded_anchors_with_sides_of_whole_pixels_are_those_of_torchvisions_retinanet() -> None:
    strides, canvas = (8, 16, 32, 64, 128), Size(416, 544)
    grids = grids_of(canvas, strides)
    theirs = retinanet_resnet50_fpn(weights=None, weights_backbone=None).anchor_generator
    [wanted] = theirs(
        ImageList(torch.zeros(1, 3, canvas.height, canvas.width), [(canvas.height, canvas.width)]),
        [torch.zeros(1, 1, grid.height, grid.width) for grid in grids],
    )
    layout = AnchorLayout(is_rounded=True, has_whole_sides=True, step="canvas", area="canvas")
    generator = AnchorGenerator(strides=strides, scale=4, scales_per_octave=3, layout=layout)
    assert torch.equal(generator(grids).boxes, wanted)
    layout = AnchorLayout(is_rounded=True, step="canvas", area="canvas")
    other = AnchorGenerator(strides=strides, scale=4, scales_per_octave=3, layout=layout)
    assert not torch.equal(other(grids).boxes, wanted)


@pytest.mark.parametrize(
    ("area", "rows", "columns"),
    [
        ("picture", 3, 5),  # 18 is in the third row of stride 8, 33 in the fifth column
        ("padded", 4, 8),  # 32 x 64
        ("canvas", 8, 12),
    ],
)
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_the_area_decides_by_the_corner_of_its_cell_whether_an_anchor_belongs_to_a_picture(
    area: CellArea, rows: int, columns: int, offset: float
) -> None:
    generator = AnchorGenerator(
        strides=(8,), aspect_ratios=(1.0,), layout=AnchorLayout(offset=offset, area=area)
    )
    belongs = generator([Size(8, 12)]).belong_to(torch.tensor([[18, 33]])).view(8, 12)
    assert belongs[:rows, :columns].all()
    assert belongs.sum() == rows * columns


def test_an_anchor_on_the_first_padding_pixel_is_not_in_the_picture() -> None:
    anchors = small_anchors()
    sizes = torch.tensor([[8, 12], [4, 8], [5, 9]])
    in_level_0 = anchors.belong_to(sizes)[:, :18:3].view(3, 2, 3)
    assert in_level_0.tolist() == [
        [[True, True, True], [True, True, True]],
        [[True, True, False], [False, False, False]],  # x = 8 is the first column of the padding
        [[True, True, True], [True, True, True]],
    ]


def test_anchors_that_reach_out_of_the_picture_by_more_than_the_border_are_not_inside() -> None:
    generator = AnchorGenerator(strides=(16,), scale=2, aspect_ratios=(1.0,))
    anchors = generator([Size(3, 4)])  # 32 x 32 around (0, 0), (16, 0) ...
    sizes = torch.tensor([[48, 64], [47, 64]])
    inside = anchors.lie_inside(sizes, border=0).view(2, 3, 4)
    assert inside.tolist() == [
        [[False] * 4, [False, True, True, True], [False, True, True, True]],
        [[False] * 4, [False, True, True, True], [False] * 4],  # y2 = 48 > 47
    ]
    assert anchors.lie_inside(sizes, border=16).all()
    assert not anchors.lie_inside(sizes, border=15.5).all()


def test_an_anchor_that_ends_on_the_border_is_inside_or_outside_as_the_layout_says() -> None:
    sizes = torch.tensor([[48, 64]])
    for layout, is_inside in ((AnchorLayout(), True), (AnchorLayout(border_end="outside"), False)):
        generator = AnchorGenerator(strides=(16,), scale=2, aspect_ratios=(1.0,), layout=layout)
        inside = generator([Size(3, 4)]).lie_inside(sizes, border=0).view(3, 4)
        # Of 32 x 32 pixels around (16, 16) ... (48, 32): the last row ends at 48, the last column at 64.
        assert inside[1:, 1:].tolist() == [[True, True, is_inside], [is_inside] * 3]


def test_the_generator_adds_nothing_to_a_checkpoint() -> None:
    assert not AnchorGenerator(strides=(4, 8)).state_dict()


def test_an_anchor_has_its_number_on_every_canvas_and_no_two_have_the_same() -> None:
    generator = AnchorGenerator(strides=(4, 8, 16, 32, 64))
    small, large = (
        generator(grids_of(canvas, generator.strides)) for canvas in (Size(64, 96), Size(160, 1600))
    )
    box_by_number = dict(zip(large.numbers.tolist(), large.boxes.tolist(), strict=True))
    assert len(box_by_number) == len(large.boxes)
    assert large.numbers.min() >= 0
    assert large.numbers.max() < 2**31
    for number, box in zip(small.numbers.tolist(), small.boxes.tolist(), strict=True):
        assert box_by_number[number] == box


def test_the_layout_changes_no_number() -> None:
    grids = grids_of(Size(160, 224), (4, 8, 16, 32, 64))
    plain, other = (
        AnchorGenerator(strides=(4, 8, 16, 32, 64), layout=layout)(grids)
        for layout in (AnchorLayout(), AnchorLayout(offset=0.5, is_rounded=True, step="canvas"))
    )
    assert torch.equal(plain.numbers, other.numbers)
    assert not torch.equal(plain.boxes, other.boxes)


def test_numbers_of_the_largest_canvas_stay_apart_and_below_two_to_the_31() -> None:
    """16,384 pixels at stride 4 are 4096 cells; only a row and a column of them are laid here."""
    generator = AnchorGenerator(strides=(4, 8, 16, 32, 64), aspect_ratios=tuple(range(1, 26)))
    for grid in (Size(1, 4096), Size(4096, 1)):
        numbers = generator([grid] * 5).numbers
        assert len(numbers.unique()) == len(numbers)
        assert numbers.max() < 2**31
