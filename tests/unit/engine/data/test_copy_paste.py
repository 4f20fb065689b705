"""Objects of another picture on a picture, against bitmaps made by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from hrdet_cli.engine.data.batch import PictureRecord, Sample
from hrdet_cli.engine.data.copy_paste import DrawnPicture, paste_objects
from hrdet_cli.engine.data.keys import generator_for
from hrdet_cli.engine.data.mask_frames import FRAME_CELLS, draw_frames
from hrdet_cli.engine.data.object_bitmaps import (
    box_around,
    draw_bitmap,
    frame_of_bitmap,
    tighten_boxes,
)
from hrdet_cli.engine.data.segmentations import Segmentations
from hrdet_cli.engine.data.transforms import Crop, Placement, move_boxes
from hrdet_cli.engine.geometry import Size
from tests.unit.engine.data.given_segmentations import runs_of, segmentations_of

SIZE = Size(60, 80)


def rectangle(x1: int, y1: int, x2: int, y2: int) -> NDArray[np.float32]:
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], dtype=np.float32)


def picture(*boxes: tuple[int, int, int, int], grey: int, size: Size = SIZE) -> DrawnPicture:
    """A grey picture as it is, with rectangles that are objects of classes 0, 1, ..."""
    segmentations = segmentations_of([[rectangle(*box)] for box in boxes])
    targets = np.array(boxes, dtype=np.float32).reshape(-1, 4)
    placement = Placement(size)
    sample = Sample(
        pixels=torch.full((3, size.height, size.width), grey, dtype=torch.uint8),
        boxes=torch.from_numpy(targets),
        labels=torch.arange(len(boxes)),
        key=1,
        record=PictureRecord(0, 0, "0.png", size, placement, torch.zeros(0, 4)),
        masks=torch.from_numpy(draw_frames(segmentations, targets, size, placement)),
        semantic=torch.full((-(-size.height // 8), -(-size.width // 8)), grey, dtype=torch.uint8),
    )
    return DrawnPicture(sample, segmentations)


class All(np.random.Generator):
    """Draws that every object comes along."""

    def __init__(self) -> None:
        super().__init__(np.random.Philox(key=0))

    def random(self, size: int) -> NDArray[np.float64]:  # type: ignore[override]  # the one way it is asked
        return np.zeros(size)


def test_pasted_objects_hide_what_is_under_them() -> None:
    onto = picture((0, 0, 40, 30), (50, 10, 70, 30), (42, 40, 50, 60), grey=10)
    source = picture((20, 0, 60, 60), grey=200)
    pasted = paste_objects(onto, source, All())
    expected = torch.full((60, 80), 10)
    expected[:, 20:60] = 200
    assert torch.equal(pasted.pixels[0].int(), expected.int())
    # The first is cut to its left half, the second to its right half; of the third nothing is seen.
    assert pasted.boxes.tolist() == [[0, 0, 20, 30], [60, 10, 70, 30], [20, 0, 60, 60]]
    assert pasted.labels.tolist() == [0, 1, 0]
    assert pasted.masks is not None
    assert pasted.masks.shape == (3, FRAME_CELLS, FRAME_CELLS)
    assert pasted.masks.all()
    assert pasted.semantic is not None
    assert torch.equal(pasted.semantic, expected[::8, ::8].to(torch.uint8))
    assert pasted.record.changes == ("1 of 1 objects pasted, 1 hidden",)
    assert (onto.sample.pixels == 10).all()
    assert onto.sample.boxes.tolist()[0] == [0, 0, 40, 30]


def test_a_small_rest_is_no_target_and_a_hole_is_no_mask() -> None:
    small, large = (0, 0, 30, 20), (30, 20, 80, 60)
    onto = picture(small, large, grey=10)
    pasted = paste_objects(onto, picture((0, 0, 16, 20), (50, 30, 60, 50), grey=200), All())
    # Of the small one 14 x 20 = 280 pixels are left and its box has lost 16 columns; 300 would be enough.
    assert pasted.boxes.tolist() == [[*large], [0, 0, 16, 20], [50, 30, 60, 50]]
    assert pasted.masks is not None
    hole = pasted.masks[0].numpy() == 0
    rows, columns = np.flatnonzero(hole.any(axis=1)), np.flatnonzero(hole.any(axis=0))
    # The hole is columns 20 to 30 of 50 and rows 10 to 30 of 40.
    assert columns[[0, -1]] / FRAME_CELLS == pytest.approx([0.4, 0.6], abs=0.02)
    assert rows[[0, -1]] / FRAME_CELLS == pytest.approx([0.25, 0.75], abs=0.02)
    barely = paste_objects(onto, picture((0, 0, 15, 20), grey=200), All())
    assert barely.boxes.tolist()[0] == [*large]  # 15 x 20 = 300 pixels, which is no more than 300
    enough = paste_objects(onto, picture((0, 0, 14, 20), grey=200), All())
    assert enough.boxes.tolist()[0] == [14, 0, 30, 20]


def test_pasted_objects_are_cut_where_the_picture_ends() -> None:
    onto = picture((0, 0, 10, 10), grey=10, size=Size(40, 50))
    source = picture((30, 20, 80, 60), (60, 0, 80, 40), (20, 20, 30, 30), grey=200)
    pasted = paste_objects(onto, source, All())
    assert pasted.boxes.tolist() == [[0, 0, 10, 10], [30, 20, 50, 40], [20, 20, 30, 30]]
    assert pasted.labels.tolist() == [0, 0, 2]
    assert pasted.pixels.shape == (3, 40, 50)
    larger = paste_objects(picture(grey=10), picture((5, 5, 20, 20), grey=9, size=Size(30, 30)), All())
    assert larger.boxes.tolist() == [[5, 5, 20, 20]]
    assert larger.pixels.shape == (3, 60, 80)


def test_half_of_the_objects_come_along_by_the_key() -> None:
    source = picture(*((8 * place, 0, 8 * place + 4, 4) for place in range(10)), grey=200)
    onto = picture(grey=10)
    counts = [len(paste_objects(onto, source, generator_for(key)).labels) for key in range(60)]
    assert 4 < np.mean(counts) < 6
    assert len(set(counts)) > 3
    assert counts[0] == len(paste_objects(onto, source, generator_for(0)).labels)


def test_pictures_without_masks_are_refused() -> None:
    onto = picture((0, 0, 10, 10), grey=10)
    without = DrawnPicture(replace(onto.sample, masks=None), onto.segmentations)
    with pytest.raises(ValueError, match=r"0\.png has no masks"):
        paste_objects(without, onto, All())


@pytest.mark.parametrize(
    "placement",
    [
        Placement(Size(90, 120)),
        Placement(Size(90, 120), Crop(11, 23, Size(51, 67)), flipped=True),
        Placement(Size(90, 120), Crop(11, 23, Size(51, 67)), quarter_turns=1),
        Placement(Size(90, 120), flipped=True, quarter_turns=2),
    ],
)
def test_a_bitmap_is_the_same_from_polygons_and_runs_and_lies_in_its_frame(
    placement: Placement,
) -> None:
    whole = np.zeros((SIZE.height, SIZE.width), dtype=np.bool_)
    whole[10:50, 20:70] = True
    whole[10:30, 40:70] = False
    corners = np.array([[20, 10], [40, 10], [40, 30], [70, 30], [70, 50], [20, 50]], dtype=np.float32)
    by_polygon = draw_bitmap(segmentations_of([[corners]]), SIZE, placement)
    runs: Segmentations = segmentations_of([whole])
    assert runs.runs.tolist() == runs_of(whole)
    by_runs = draw_bitmap(runs, SIZE, placement)
    assert by_polygon.shape == (placement.placed.height, placement.placed.width)
    assert np.array_equal(by_polygon, by_runs)
    box = box_around(by_polygon)
    frame = draw_frames(segmentations_of([[corners]]), box[None], SIZE, placement)[0]
    assert (frame != frame_of_bitmap(by_polygon, box)).mean() < 0.02


def test_a_box_that_a_window_cuts_lies_around_what_it_shows_of_its_object() -> None:
    # Columns 20 to 70 in rows 10 to 50, but for columns 40 to 70 in rows 10 to 30.
    corners = np.array([[20, 10], [40, 10], [40, 30], [70, 30], [70, 50], [20, 50]], dtype=np.float32)
    segmentations = segmentations_of([[corners], [corners], [rectangle(0, 0, 9, 9)]])
    for place, (window, shown) in enumerate(
        {
            # Twice as large; the window begins at column 45 and row 0, and shows rows 30 to 40 of the object.
            Crop(0, 90, Size(80, 70), keeps="shown"): [0, 60, 50, 80],
            # ... and here its upper left part, which reaches the window's lower edge: only the right is cut.
            Crop(0, 0, Size(50, 60), keeps="shown"): [40, 20, 60, 50],
        }.items()
    ):
        placement = Placement(Size(120, 160), window)
        boxes, _ = move_boxes(np.array([[20, 10, 70, 50]] * 2, dtype=np.float32), SIZE, placement)
        both = segmentations.take(np.array([0, 1]))
        tight, is_shown = tighten_boxes(boxes, both, SIZE, placement)
        assert is_shown.all(), place
        assert tight.tolist() == [shown] * 2
    # The object's box reaches into this window, the object does not.
    placement = Placement(Size(120, 160), Crop(0, 90, Size(50, 60), keeps="shown"))
    boxes, is_kept = move_boxes(np.array([[20, 10, 70, 50]], dtype=np.float32), SIZE, placement)
    assert is_kept.all()
    _, is_shown = tighten_boxes(boxes, segmentations.take(np.array([0])), SIZE, placement)
    assert not is_shown.any()
