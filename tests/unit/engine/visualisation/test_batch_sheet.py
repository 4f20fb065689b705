import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from hrdet_cli.engine.data.batch import Batch, PictureRecord
from hrdet_cli.engine.data.transforms import Crop, Placement
from hrdet_cli.engine.geometry import Size, Window
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.engine.visualisation.batch_sheet import draw_batch_sheet
from hrdet_cli.engine.visualisation.palette import (
    HATCH_GROUND,
    HATCH_LINE,
    INK,
    PAPER,
    RULE,
    Colour,
    class_colour,
)
from tests.unit.engine.visualisation.conftest import assert_apart

NAMES = ("cat", "dog", "Ελλάδα кошка 猫 $x$")
MAGENTA: Colour = (250, 0, 250)


def make_batch(
    *,
    canvas: Size,
    sizes: Sequence[Size],
    colours: Sequence[Colour] | None = None,
    boxes: Sequence[tuple[float, float, float, float]] = (),
    labels: Sequence[int] = (),
    ignored: Sequence[tuple[float, float, float, float]] = (),
) -> Batch:
    """Flat pictures of given colours; every picture has the same boxes."""
    pixels = torch.zeros((len(sizes), 3, canvas.height, canvas.width), dtype=torch.uint8)
    for row, (size, colour) in enumerate(zip(sizes, colours or [MAGENTA] * len(sizes), strict=True)):
        pixels[row, :, : size.height, : size.width] = torch.tensor(colour, dtype=torch.uint8)[:, None, None]
    num_rows = len(boxes) + 3
    targets = Targets(
        boxes=torch.zeros((len(sizes), num_rows, 4)),
        labels=torch.zeros((len(sizes), num_rows), dtype=torch.int64),
        is_valid=torch.zeros((len(sizes), num_rows), dtype=torch.bool),
    )
    for index, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        targets.boxes[:, index] = torch.tensor(box)
        targets.labels[:, index] = label
        targets.is_valid[:, index] = True
    records = tuple(
        PictureRecord(
            index=row,
            image_id=100 + row,
            file_name=f"picture_{row}.jpg",
            original=size,
            placement=Placement(resized=size),
            ignored_boxes=torch.tensor(ignored).reshape(-1, 4),
        )
        for row, size in enumerate(sizes)
    )
    images = ImageBatch(
        pixels=pixels,
        sizes=torch.tensor([(size.height, size.width) for size in sizes]),
        keys=torch.arange(len(sizes)),
    )
    return Batch(images=images, targets=targets, records=records)


def where(sheet: Image.Image, colour: Colour) -> np.ndarray:
    """``(H, W)`` bool: pixels that have exactly this colour."""
    red, green, blue = np.moveaxis(np.asarray(sheet), 2, 0)
    is_colour: np.ndarray = (red == colour[0]) & (green == colour[1]) & (blue == colour[2])
    return is_colour


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the true pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def test_hatching_covers_the_padding_and_only_the_padding() -> None:
    batch = make_batch(canvas=Size(200, 300), sizes=[Size(120, 180)])
    sheet = draw_batch_sheet(batch, NAMES)
    left, top, right, bottom = extent(where(sheet, MAGENTA))
    assert (right - left, bottom - top) == (
        2 * 180 - 1,
        2 * 120 - 1,
    )  # less the tile's own outline left and above
    assert where(sheet, MAGENTA)[top:bottom, left:right].all()
    is_hatch = where(sheet, HATCH_GROUND) | where(sheet, HATCH_LINE)
    is_frame = where(sheet, RULE) | where(sheet, INK)
    tile_right, tile_bottom = left - 1 + 600, top - 1 + 400
    padding = np.zeros(is_hatch.shape, dtype=bool)
    padding[top - 1 : tile_bottom, left - 1 : tile_right] = True
    padding[top - 1 : bottom, left - 1 : right] = False
    assert (is_hatch | is_frame)[padding].all()
    assert is_hatch[padding].mean() > 0.98


def test_masks_are_veils_over_the_picture_that_hide_neither_boxes_nor_labels() -> None:
    batch = make_batch(
        canvas=Size(200, 300),
        sizes=[Size(200, 300)],
        boxes=[(60, 40, 220, 180), (100, 60, 180, 120)],
        labels=[0, 1],
    )
    masks = torch.zeros((1, 5, 112, 112), dtype=torch.uint8)
    masks[0, 0, :, :56] = 1
    masks[0, 4] = 1  # of a padding row
    veiled = draw_batch_sheet(replace(batch, targets=replace(batch.targets, masks=masks)), NAMES)
    plain = draw_batch_sheet(batch, NAMES)
    changed = (np.asarray(plain) != np.asarray(veiled)).any(axis=2)
    assert not (changed & ~where(plain, MAGENTA)).any()
    left, top, _, _ = extent(where(plain, MAGENTA))
    assert extent(changed) == (left - 1 + 122, top - 1 + 82, left - 1 + 280, top - 1 + 358)
    assert changed.sum() > 0.8 * 158 * 276  # the rest is the other box and its label


def test_a_picture_that_fills_its_canvas_has_no_hatching() -> None:
    sheet = draw_batch_sheet(make_batch(canvas=Size(200, 300), sizes=[Size(200, 300)]), NAMES)
    _, top, _, bottom = extent(where(sheet, MAGENTA))
    is_hatch = where(sheet, HATCH_GROUND) | where(sheet, HATCH_LINE)
    assert not is_hatch[top:bottom].any()


def test_boxes_are_where_the_targets_say_in_the_colour_of_their_class() -> None:
    boxes = [(20.0, 30.0, 60.0, 90.0), (100.0, 50.0, 170.0, 110.0)]
    batch = make_batch(canvas=Size(200, 300), sizes=[Size(120, 180)], boxes=boxes, labels=[1, 0])
    sheet = draw_batch_sheet(batch, NAMES)
    left, top, *_ = extent(where(sheet, MAGENTA))
    origin = np.array([left - 1, top - 1])
    for (x1, y1, x2, y2), label in zip(boxes, (1, 0), strict=True):
        is_edge = where(sheet, class_colour(label))
        is_edge[: top - 1] = False  # the legend
        corner_x, corner_y = (origin + 2 * np.array([x1, y1])).astype(int)
        far_x, far_y = (origin + 2 * np.array([x2, y2])).astype(int)
        for side in (
            is_edge[corner_y:far_y, corner_x],
            is_edge[corner_y:far_y, far_x - 1],
            is_edge[far_y - 1, corner_x:far_x],
            is_edge[corner_y, corner_x:far_x],
        ):
            assert side.all()
        assert not is_edge[far_y + 2 :, corner_x:far_x].any()


def test_rows_that_only_pad_the_targets_are_not_drawn() -> None:
    batch = make_batch(canvas=Size(200, 300), sizes=[Size(120, 180)])
    batch.targets.boxes[:] = torch.tensor([20.0, 20.0, 90.0, 90.0])
    assert not where(draw_batch_sheet(batch, NAMES), class_colour(0)).any()


def test_ignored_regions_are_dashed_and_said_to_be_ignored(written: list[str]) -> None:
    batch = make_batch(canvas=Size(200, 300), sizes=[Size(120, 180)], ignored=[(20.0, 30.0, 90.0, 100.0)])
    sheet = draw_batch_sheet(batch, NAMES)
    left, top, *_ = extent(where(sheet, MAGENTA))
    side = np.asarray(sheet)[top - 1 + 60 : top - 1 + 200, left - 1 + 40]
    assert {tuple(pixel) for pixel in side.tolist()} == {INK, PAPER}
    assert "ignored" in written
    assert "ignored (crowd)" in written


@pytest.mark.parametrize(
    "canvas", [Size(512, 800), Size(800, 512), Size(64, 96)], ids=lambda canvas: str(canvas)
)
@pytest.mark.parametrize("num_pictures", [1, 5, 16])
def test_every_picture_of_a_batch_is_on_the_sheet(canvas: Size, num_pictures: int) -> None:
    colours = [(10 + 15 * row, 200 - 10 * row, 97) for row in range(num_pictures)]
    size = Size(canvas.height * 3 // 4, canvas.width // 2)
    sheet = draw_batch_sheet(make_batch(canvas=canvas, sizes=[size] * num_pictures, colours=colours), NAMES)
    places = [extent(where(sheet, colour)) for colour in colours]
    widths, heights = {x2 - x1 for x1, _, x2, _ in places}, {y2 - y1 for _, y1, _, y2 in places}
    assert sheet.width <= 1600
    assert len(widths) == len(heights) == 1
    assert widths.pop() / heights.pop() == pytest.approx(size.width / size.height, rel=0.03)
    for (a1, b1, a2, b2), (c1, d1, c2, d2) in itertools.combinations(places, 2):
        assert a2 <= c1 or c2 <= a1 or b2 <= d1 or d2 <= b1


def test_captions_tell_how_each_picture_was_placed(written: list[str]) -> None:
    batch = make_batch(
        canvas=Size(800, 1216), sizes=[Size(600, 800), Size(800, 1200)], boxes=[(9, 9, 99, 99)], labels=[0]
    )
    first, second = batch.records
    records = (
        replace(
            first,
            original=Size(300, 400),
            placement=Placement(resized=Size(600, 800), flipped=True),
            window=Window(824, 7, Size(300, 400), Size(1000, 2000)),
        ),
        replace(
            second,
            original=Size(480, 640),
            placement=Placement(resized=Size(1000, 1333), crop=Crop(12, 130, Size(800, 1200))),
            changes=("blur 1.2", "JPEG 40"),
        ),
    )
    draw_batch_sheet(replace(batch, records=records), NAMES)
    assert "2 pictures on a 1216×800 canvas" in written
    # (600 * 800 + 800 * 1200) / (2 * 800 * 1216) = 0.7401
    assert "74.0% of the pixels are picture, 26.0% are padding" in written
    assert "picture_0.jpg" in written
    assert "  1 box · fills 49%" in written  # 600 * 800 of 800 * 1216
    assert "  1 box · fills 99%" in written
    assert "tile at 824, 7 · 400×300 → 800×600 (×2.00) · flipped" in written
    assert "640×480 → 1333×1000 (×2.08) · crop 1200×800 at 130, 12 · blur 1.2 · JPEG 40" in written


def test_a_batch_of_one_process_of_several_says_whose_it_is(written: list[str]) -> None:
    batch = make_batch(canvas=Size(64, 96), sizes=[Size(50, 90)])
    draw_batch_sheet(batch, NAMES, whose="rank 2 in a group of 4")
    assert "rank 2 in a group of 4" in written


def test_names_in_other_scripts_and_long_ones_are_drawn(written: list[str]) -> None:
    boxes = [(5.0, 40.0, 60.0, 90.0)]
    batch = make_batch(canvas=Size(200, 300), sizes=[Size(120, 180)], boxes=boxes, labels=[2])
    record = replace(batch.records[0], file_name="a/very/long/path/" * 10 + "Łódź.jpg")
    draw_batch_sheet(replace(batch, records=(record,)), NAMES)
    assert written.count(NAMES[2]) == 2  # at the box and in the legend
    assert any(text.endswith("Łódź.jpg") and "…" in text for text in written)


def test_five_hundred_boxes_are_drawn_without_a_pile_of_labels(written: list[str]) -> None:
    corners = np.random.default_rng(1).uniform(0, 500, (500, 2)).tolist()
    boxes = [(x, y, x + 60, y + 60) for x, y in corners]
    batch = make_batch(canvas=Size(608, 1000), sizes=[Size(600, 600)], boxes=boxes, labels=[0] * 500)
    name = "a class with a rather long name"
    draw_batch_sheet(batch, [name])
    assert 40 < written.count(name) < 110  # of about 3,700 pixels each, in a tile of 1,332,000


def test_drawing_changes_nothing_in_the_batch_and_repeats_itself() -> None:
    batch = make_batch(canvas=Size(64, 96), sizes=[Size(50, 90)], boxes=[(3, 3, 30, 30)], labels=[0])
    before = batch.images.pixels.clone()
    assert draw_batch_sheet(batch, NAMES).tobytes() == draw_batch_sheet(batch, NAMES).tobytes()
    assert torch.equal(batch.images.pixels, before)


@pytest.mark.parametrize("canvas", [Size(1600, 64), Size(64, 1600), Size(320, 320)])
@pytest.mark.parametrize("num_pictures", [1, 2, 6, 16])
def test_captions_stay_in_their_own_column(
    canvas: Size, num_pictures: int, text_places: list[tuple[int, float, float]]
) -> None:
    batch = make_batch(canvas=canvas, sizes=[canvas] * num_pictures)
    sheet = draw_batch_sheet(batch, NAMES, whose="rank 63 in a group of 64")
    assert sheet.width <= 1600
    assert_apart(text_places, width=sheet.width)
