import itertools
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pycocotools import mask as coco_mask

from hrdet_cli.engine.data.mask_runs import MaskRuns
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.visualisation.detection_sheet import DetectionPanel, draw_detection_sheet
from hrdet_cli.engine.visualisation.judgement import LabelledBoxes
from hrdet_cli.engine.visualisation.palette import INK, PAPER, Colour, class_colour
from tests.unit.engine.visualisation.conftest import assert_apart

NAMES = ("cat", "dog", "猫 кошка")
GREEN: Colour = (10, 200, 90)


def make_panel(
    *,
    size: tuple[int, int] = (120, 200),
    colour: Colour = GREEN,
    title: str = "a.jpg",
    found: tuple[tuple[float, float, float, float, int, float], ...] = (),
    true: tuple[tuple[float, float, float, float, int], ...] = (),
    crowd: tuple[tuple[float, float, float, float, int], ...] = (),
) -> DetectionPanel:
    """A flat picture; detections are ``(x1, y1, x2, y2, label, score)``."""
    detections = np.array(found, dtype=np.float32).reshape(-1, 6)
    return DetectionPanel(
        pixels=np.full((*size, 3), colour, dtype=np.uint8),
        title=title,
        found=labelled(detections[:, :5]),
        scores=detections[:, 5],
        true=labelled(np.array(true, dtype=np.float32).reshape(-1, 5)),
        crowd=labelled(np.array(crowd, dtype=np.float32).reshape(-1, 5)),
    )


def labelled(rows: NDArray[np.float32]) -> LabelledBoxes:
    return LabelledBoxes(rows[:, :4], rows[:, 4].astype(np.int64))


def extent(sheet: Image.Image, colour: Colour) -> tuple[int, int, int, int]:
    is_colour = (np.asarray(sheet) == colour).all(axis=2)
    rows, columns = np.flatnonzero(is_colour.any(axis=1)), np.flatnonzero(is_colour.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def test_a_detection_is_solid_and_labelled_with_its_score(written: list[str]) -> None:
    found, true = ((50, 30, 150, 90, 1, 0.876),), ((52, 30, 150, 90, 1),)
    sheet = draw_detection_sheet([make_panel(found=found, true=true)], NAMES)
    left, top, right, _ = extent(sheet, GREEN)
    zoom = (right - left) / 200
    is_red = (np.asarray(sheet) == class_colour(1)).all(axis=2)
    x = round(left + 50 * zoom)
    assert is_red[round(top + 31 * zoom) : round(top + 89 * zoom), x].all()
    assert "dog 0.88" in written
    assert "1 of 1 found, 0 false" in written


def test_a_false_detection_is_crossed_out_and_called_so(written: list[str]) -> None:
    sheet = draw_detection_sheet([make_panel(found=((50, 30, 150, 90, 1, 0.876),))], NAMES)
    left, top, right, _ = extent(sheet, GREEN)
    zoom = (right - left) / 200
    middle = np.asarray(sheet)[round(top + 60 * zoom), round(left + 100 * zoom)]
    assert (middle == class_colour(1)).all()
    assert "false: dog 0.88" in written
    assert "0 of 0 found, 1 false" in written


def test_masks_of_detections_are_veils_below_their_boxes() -> None:
    bitmap = np.zeros((120, 200), dtype=np.uint8)
    bitmap[40:80, 60:140] = 1
    packed = coco_mask.encode(np.asfortranarray(bitmap))
    masks = MaskRuns(Size(120, 200), (packed["counts"],))
    panel = make_panel(found=((50, 30, 150, 90, 1, 0.876),), true=((52, 30, 150, 90, 1),))
    sheet = np.asarray(draw_detection_sheet([replace(panel, masks=masks)], NAMES))
    plain = draw_detection_sheet([panel], NAMES)
    left, top, right, _ = extent(plain, GREEN)
    zoom = (right - left) / 200
    rows, columns = np.nonzero((sheet != np.asarray(plain)).any(axis=2))
    assert (columns.min(), columns.max() + 1) == pytest.approx((left + 60 * zoom, left + 140 * zoom), abs=1)
    assert (rows.min(), rows.max() + 1) == pytest.approx((top + 40 * zoom, top + 80 * zoom), abs=1)
    inside = sheet[round(top + 60 * zoom), round(left + 100 * zoom)]
    assert inside == pytest.approx(0.6 * np.array(GREEN) + 0.4 * np.array(class_colour(1)), abs=2)


def test_captions_of_narrow_pictures_stay_in_their_own_column(
    text_places: list[tuple[int, float, float]],
) -> None:
    panels = [make_panel(size=(400, 20), title=f"a_long_name_of_a_file_{n}.jpg") for n in range(4)]
    sheet = draw_detection_sheet(panels, NAMES)
    assert_apart(text_places, width=sheet.width)


def test_ground_truth_is_dashed() -> None:
    sheet = draw_detection_sheet([make_panel(true=((50, 30, 150, 90, 1),))], NAMES)
    left, top, right, _ = extent(sheet, GREEN)
    zoom = (right - left) / 200
    side = np.asarray(sheet)[round(top + 31 * zoom) : round(top + 89 * zoom), round(left + 50 * zoom)]
    assert {tuple(pixel) for pixel in side.tolist()} == {INK, PAPER}


def test_objects_without_a_detection_of_their_class_are_called_missed(written: list[str]) -> None:
    panel = make_panel(
        found=((0, 0, 40, 40, 0, 0.9), (60, 0, 100, 40, 1, 0.8), (0, 60, 40, 79, 0, 0.7)),
        true=((0, 0, 40, 40, 0), (60, 0, 100, 40, 0), (0, 60, 40, 100, 0), (150, 60, 190, 100, 2)),
    )
    draw_detection_sheet([panel], NAMES)
    # found; another class; 19 of 40 rows overlap, an IoU of 0.475; nothing there
    assert "1 of 4 found, 2 false" in written
    assert written.count("missed: cat") == 2
    assert written.count(f"missed: {NAMES[2]}") == 1


def test_a_half_overlap_is_enough(written: list[str]) -> None:
    draw_detection_sheet([make_panel(found=((0, 0, 40, 20, 0, 0.9),), true=((0, 0, 40, 40, 0),))], NAMES)
    assert "1 of 1 found, 0 false" in written


def test_full_rows_are_as_wide_as_the_sheet_and_pictures_keep_their_shape() -> None:
    sizes = [(240, 320), (320, 240), (240, 320), (200, 300), (320, 240), (480, 640), (240, 320)]
    colours = [(20 * index, 120, 255 - 20 * index) for index in range(len(sizes))]
    panels = [make_panel(size=size, colour=colour) for size, colour in zip(sizes, colours, strict=True)]
    sheet = draw_detection_sheet(panels, NAMES)
    places = [extent(sheet, colour) for colour in colours]
    assert sheet.width == pytest.approx(1600, abs=1)
    for (height, width), (x1, y1, x2, y2) in zip(sizes, places, strict=True):
        assert (x2 - x1) / (y2 - y1) == pytest.approx(width / height, rel=0.02)
    rows: dict[int, list[tuple[int, int]]] = {}
    for x1, y1, x2, _ in places:
        rows.setdefault(y1, []).append((x1, x2))
    assert len(rows) > 1
    for row in list(rows.values())[:-1]:
        assert row[-1][1] == pytest.approx(1600 - row[0][0], abs=2)
        assert all(before[1] < after[0] for before, after in itertools.pairwise(row))


@pytest.mark.parametrize("num_pictures", [1, 16])
def test_every_picture_is_on_the_sheet(num_pictures: int, written: list[str]) -> None:
    panels = [make_panel(title=f"{number}.jpg") for number in range(num_pictures)]
    sheet = draw_detection_sheet(panels, NAMES)
    assert sheet.width <= 1600
    assert [text for text in written if text.endswith(".jpg")] == [panel.title for panel in panels]


def test_long_class_names_lose_their_middle(written: list[str]) -> None:
    names = ("the " * 40 + "end",)
    draw_detection_sheet([make_panel(found=((0, 0, 90, 90, 0, 0.9),), true=((0, 0, 90, 90, 0),))], names)
    assert sum("…" in text and "end" in text for text in written) >= 2
    assert not any(names[0] in text for text in written)
