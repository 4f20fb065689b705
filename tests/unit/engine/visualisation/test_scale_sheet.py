import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from hrdet_cli.engine.data.batch import Batch, PictureRecord
from hrdet_cli.engine.data.transforms import Crop, Placement
from hrdet_cli.engine.geometry import Scale, Size
from hrdet_cli.engine.structures import ImageBatch, Targets
from hrdet_cli.engine.visualisation.palette import Colour
from hrdet_cli.engine.visualisation.scale_sheet import PicturesAtScale, draw_scale_sheet
from tests.unit.engine.visualisation.conftest import assert_apart

NAMES = ("cat", "dog")


def at_scale(
    scale: Scale,
    *,
    canvas: Size,
    placements: Sequence[Placement],
    colours: Sequence[Colour],
    label: int | None = None,
) -> PicturesAtScale:
    """Flat pictures of given colours; with a label, each has one box of it."""
    count = len(placements)
    pixels = torch.zeros((count, 3, canvas.height, canvas.width), dtype=torch.uint8)
    for row, (placement, colour) in enumerate(zip(placements, colours, strict=True)):
        pixels[row, :, : placement.placed.height, : placement.placed.width] = torch.tensor(
            colour, dtype=torch.uint8
        )[:, None, None]
    records = tuple(
        PictureRecord(row, row, f"picture_{row}.jpg", Size(30, 40), placement, torch.zeros(0, 4))
        for row, placement in enumerate(placements)
    )
    batch = Batch(
        images=ImageBatch(
            pixels=pixels,
            sizes=torch.tensor([(p.placed.height, p.placed.width) for p in placements]),
            keys=torch.arange(count),
        ),
        targets=Targets(
            boxes=torch.tensor([5.0, 5.0, 20.0, 20.0]).repeat(count, 1, 1),
            labels=torch.full((count, 1), label or 0),
            is_valid=torch.full((count, 1), label is not None),
        ),
        records=records,
    )
    return PicturesAtScale(scale, batch)


def pixels_of(sheet: Image.Image) -> NDArray[np.int32]:
    """``(height, width)``, a number for each colour."""
    red, green, blue = np.asarray(sheet).astype(np.int32).transpose(2, 0, 1)
    return np.asarray(red << 16 | green << 8 | blue, dtype=np.int32)


def extent(sheet: NDArray[np.int32], colour: Colour) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the pixels of a colour."""
    red, green, blue = colour
    is_colour = sheet == red << 16 | green << 8 | blue
    rows, columns = np.flatnonzero(is_colour.any(axis=1)), np.flatnonzero(is_colour.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize("is_portrait", [False, True])
@pytest.mark.parametrize("num_pictures", [1, 3, 5])
def test_every_picture_is_there_at_every_scale_and_true_to_its_relative_size(
    num_pictures: int, is_portrait: bool
) -> None:
    scales = [Scale(400, 300), Scale(600, 450), Scale(800, 600)]
    canvases = [Scale(416, 320), Scale(640, 480), Scale(960, 640)]  # a canvas of its own for each scale
    colours: dict[tuple[int, int], Colour] = {
        (column, row): (60 * column + 30, 40 * row + 20, 99) for column in range(3) for row in range(5)
    }
    pictures = [
        at_scale(
            scale,
            canvas=canvas.turned(portrait=is_portrait),
            placements=[Placement(resized=scale.turned(portrait=is_portrait))] * num_pictures,
            colours=[colours[column, row] for row in range(num_pictures)],
        )
        for column, (scale, canvas) in enumerate(zip(scales, canvases, strict=True))
    ]
    sheet = draw_scale_sheet(pictures, NAMES)
    pixels = pixels_of(sheet)
    places = {
        (column, row): extent(pixels, colours[column, row])
        for column in range(3)
        for row in range(num_pictures)
    }
    assert sheet.width <= 1600
    for row in range(num_pictures):
        (a1, b1, a2, b2), (_, d1, _, _), (e1, f1, e2, f2) = (places[column, row] for column in range(3))
        assert b1 == d1 == f1
        assert (e2 - e1) / (a2 - a1) == pytest.approx(2, rel=0.05)
        assert (f2 - f1) / (b2 - b1) == pytest.approx(2, rel=0.05)
    for (a1, b1, a2, b2), (c1, d1, c2, d2) in itertools.combinations(places.values(), 2):
        assert a2 <= c1 or c2 <= a1 or b2 <= d1 or d2 <= b1


def test_captions_tell_scale_factor_crop_and_what_is_filled(written: list[str]) -> None:
    small = at_scale(
        Scale(80, 60), canvas=Size(96, 160), placements=[Placement(Size(60, 80))], colours=[(1, 2, 3)]
    )
    crop = Crop(top=4, left=5, size=Size(96, 128))
    large = at_scale(
        Scale(160, 120),
        canvas=Size(96, 160),
        placements=[Placement(Size(120, 160), crop)],
        colours=[(1, 2, 3)],
    )
    draw_scale_sheet([small, large], NAMES, note="2 of 7 scales")
    assert "All tiles have one zoom: what is larger here is larger to the model · 2 of 7 scales" in written
    assert "picture_0.jpg" in written
    assert "  40×30" in written
    assert "(80, 60) ×2.00 · fills 31% of 160×96" in written  # 80 * 60 of 160 * 96
    at = written.index("(160, 120) ×4.00 · crop 128×96")
    assert written[at + 1] == "fills 80% of 160×96"  # 128 * 96 of 160 * 96


def test_the_legend_names_a_class_once_however_many_scales_show_it(written: list[str]) -> None:
    pictures = [
        at_scale(
            Scale(edge, edge),
            canvas=Size(96, 96),
            placements=[Placement(Size(edge, edge))],
            colours=[(1, 2, 3)],
            label=label,
        )
        for edge, label in ((40, 1), (60, 0), (80, 1))
    ]
    draw_scale_sheet(pictures, NAMES)
    legend = written[: written.index("padding") + 1]
    assert sorted(legend[-3:-1]) == ["cat", "dog"]
    assert legend.count("dog") == 1


@pytest.mark.parametrize("canvas", [Size(1600, 32), Size(32, 1600), Size(160, 160)])
@pytest.mark.parametrize(("num_pictures", "num_scales"), [(1, 11), (8, 2), (3, 5)])
def test_names_and_captions_stay_in_their_own_column(
    canvas: Size, num_pictures: int, num_scales: int, text_places: list[tuple[int, float, float]]
) -> None:
    pictures = [
        at_scale(
            Scale(1333, 800),
            canvas=canvas,
            placements=[Placement(canvas)] * num_pictures,
            colours=[(1, 2, 3)] * num_pictures,
        )
        for _ in range(num_scales)
    ]
    sheet = draw_scale_sheet(pictures, NAMES)
    assert sheet.width <= 1600
    assert_apart(text_places, width=sheet.width)
