import torch

from hrdet_cli.engine.models.anchors import AnchorGenerator, Anchors
from hrdet_cli.engine.structures import Size


def small_anchors() -> Anchors:
    generator = AnchorGenerator(strides=(4, 8), scale=8, aspect_ratios=(0.25, 1.0, 4.0))
    anchors: Anchors = generator([Size(2, 3), Size(1, 2)])
    return anchors


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


def test_nothing_is_rounded() -> None:
    anchors = AnchorGenerator(strides=(4,))([Size(1, 1)])
    # Height over width 0.5: width 32 * sqrt(2) = 45.2548, height 22.6274.
    wanted = torch.tensor([-22.627417, -11.3137085, 22.627417, 11.3137085])
    torch.testing.assert_close(anchors.boxes[0], wanted)


def test_centres_are_those_of_the_boxes() -> None:
    anchors = AnchorGenerator(strides=(4, 8, 16))([Size(9, 12), Size(5, 6), Size(3, 3)])
    middles = (anchors.boxes[:, :2] + anchors.boxes[:, 2:]) / 2
    torch.testing.assert_close(anchors.centres, middles, atol=1e-4, rtol=0)


def test_an_anchor_on_the_first_padding_pixel_is_not_in_the_picture() -> None:
    anchors = small_anchors()
    sizes = torch.tensor([[8, 12], [4, 8], [5, 9]])
    in_level_0 = anchors.have_centre_in(sizes)[:, :18:3].view(3, 2, 3)
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


def test_the_generator_adds_nothing_to_a_checkpoint() -> None:
    assert not AnchorGenerator(strides=(4, 8)).state_dict()


def test_an_anchor_has_its_number_on_every_canvas_and_no_two_have_the_same() -> None:
    generator = AnchorGenerator(strides=(4, 8, 16, 32, 64))
    small, large = (
        generator([Size(-(-height // s), -(-width // s)) for s in generator.strides])
        for height, width in ((64, 96), (160, 1600))
    )
    box_by_number = dict(zip(large.numbers.tolist(), large.boxes.tolist(), strict=True))
    assert len(box_by_number) == len(large.boxes)
    assert large.numbers.min() >= 0
    assert large.numbers.max() < 2**31
    for number, box in zip(small.numbers.tolist(), small.boxes.tolist(), strict=True):
        assert box_by_number[number] == box


def test_numbers_of_the_largest_canvas_stay_apart_and_below_two_to_the_31() -> None:
    """16,384 pixels at stride 4 are 4096 cells; only a row and a column of them are laid here."""
    generator = AnchorGenerator(strides=(4, 8, 16, 32, 64), aspect_ratios=tuple(range(1, 26)))
    for grid in (Size(1, 4096), Size(4096, 1)):
        numbers = generator([grid] * 5).numbers
        assert len(numbers.unique()) == len(numbers)
        assert numbers.max() < 2**31
