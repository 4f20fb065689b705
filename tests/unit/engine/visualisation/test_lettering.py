import time

import numpy as np
from PIL import Image, ImageDraw

from hrdet_cli.engine.visualisation.lettering import LabelWriter, font, shorten, wrap
from hrdet_cli.engine.visualisation.palette import class_colour


def test_shortening_keeps_both_ends_and_the_width() -> None:
    shortened = shorten("000000123456_left_camera.jpg", font(13), 120)
    assert font(13).getlength(shortened) <= 120
    assert shortened.startswith("0000")
    assert shortened.endswith(".jpg")
    assert "…" in shortened


def test_text_that_fits_stays() -> None:
    assert shorten("a.jpg", font(13), 200) == "a.jpg"


def test_no_width_at_all_leaves_an_ellipsis() -> None:
    assert shorten("something", font(13), 1) == "…"


def test_wrapping_keeps_parts_whole_and_lines_narrow() -> None:
    parts = ["640×480 → 1067×800 (×1.67)", "crop 1200×800 at 10, 20", "flipped"]
    lines = wrap(parts, font(12), 230)
    assert lines == ["640×480 → 1067×800 (×1.67)", "crop 1200×800 at 10, 20 · flipped"]
    assert wrap(parts, font(12), 2000) == [" · ".join(parts)]


def test_labels_never_cover_each_other_or_leave_their_bounds() -> None:
    generator = np.random.default_rng(0)
    picture = Image.new("RGB", (400, 300))
    corners = generator.uniform(0, (330, 230), (40, 2))
    boxes = [(x, y, x + 60, y + 60) for x, y in corners.tolist()]
    writer = LabelWriter(ImageDraw.Draw(picture), bounds=(20, 30, 380, 280), boxes=boxes, size=12)
    covered = np.zeros((300, 400), dtype=bool)
    num_written = 0
    for number, box in enumerate(boxes):
        before = np.asarray(picture).copy()
        is_written = writer.write(f"class {number}", box=box, colour=class_colour(number))
        changed = (np.asarray(picture) != before).any(axis=2)
        assert changed.any() == is_written
        assert not (changed & covered).any()
        covered |= changed
        num_written += is_written
    assert num_written > 20
    covered[30:280, 20:380] = False
    assert not covered.any()


def test_a_label_stays_off_a_small_box_when_it_can() -> None:
    picture = Image.new("RGB", (200, 100))
    boxes = [
        (50.0, 40.0, 100.0, 60.0),
        (60.0, 25.0, 75.0, 38.0),
    ]  # the second lies where the label would go first
    writer = LabelWriter(ImageDraw.Draw(picture), bounds=(0, 0, 200, 100), boxes=boxes, size=12)
    assert writer.write("name", box=boxes[0], colour=(255, 0, 0))
    assert not np.asarray(picture)[:40].any()
    assert np.asarray(picture)[60:].any()


def test_without_a_free_place_nothing_is_written() -> None:
    picture = Image.new("RGB", (60, 10))
    writer = LabelWriter(ImageDraw.Draw(picture), bounds=(0, 0, 60, 10), boxes=[], size=12)
    assert not writer.write("name", box=(0, 0, 60, 10), colour=(255, 0, 0))
    assert not np.asarray(picture).any()


def test_a_box_without_area_keeps_no_label_away() -> None:
    picture = Image.new("RGB", (200, 100))
    boxes = [(50.0, 40.0, 100.0, 60.0), (70.0, 70.0, 66.0, 90.0)]
    writer = LabelWriter(ImageDraw.Draw(picture), bounds=(0, 0, 200, 100), boxes=boxes, size=12)
    assert writer.write("name", box=boxes[0], colour=(255, 0, 0))


def test_thousands_of_boxes_take_seconds() -> None:
    picture = Image.new("RGB", (1200, 800))
    chance = np.random.default_rng(0)
    corners = chance.uniform(0, (1140, 740), (6000, 2))
    boxes = [(x, y, x + 30, y + 20) for x, y in corners.tolist()]
    writer = LabelWriter(ImageDraw.Draw(picture), bounds=(0, 0, 1200, 800), boxes=boxes, size=12)
    started = time.process_time()
    num_written = sum(writer.write("name", box=box, colour=(255, 0, 0)) for box in boxes)
    assert time.process_time() - started < 5  # comparing each with all took 12
    assert num_written > 20
