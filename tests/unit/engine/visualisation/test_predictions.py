import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from hrdet_cli.engine.data.mask_runs import MaskRuns
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.visualisation.palette import Colour, class_colour
from hrdet_cli.engine.visualisation.predictions import draw_predictions

NAMES = ("cat", "dog", "猫 кошка")
GREY = 128
Found = tuple[float, float, float, float, int, float]


def draw(height: int, width: int, *found: Found) -> Image.Image:
    detections = np.array(found, dtype=np.float32).reshape(-1, 6)
    return draw_predictions(
        np.full((height, width, 3), GREY, dtype=np.uint8),
        boxes=detections[:, :4],
        labels=detections[:, 4].astype(np.int64),
        scores=detections[:, 5],
        class_names=NAMES,
    )


def count_pixels(picture: Image.Image, colour: Colour) -> int:
    return int((np.asarray(picture) == colour).all(axis=2).sum())


def test_a_box_is_where_it_was_found_and_says_class_and_score(written: list[str]) -> None:
    picture = np.asarray(draw(480, 640, (100, 200, 300, 400, 1, 0.876), (400, 50, 500, 150, 2, 0.5)))
    is_red = (picture == class_colour(1)).all(axis=2)
    assert is_red[205:395, 100].all()
    assert is_red[205:395, 299].all()
    assert is_red[399, 105:295].all()
    assert not is_red[:, 305:].any()
    assert written == ["dog 0.88", "猫 кошка 0.50"]


def test_a_picture_without_detections_is_as_it_was() -> None:
    assert (np.asarray(draw(500, 700)) == GREY).all()


@pytest.mark.parametrize(
    ("size", "drawn"),
    [((480, 640), (480, 640)), ((100, 120), (400, 480)), ((1, 2), (8, 16)), ((3000, 4000),) * 2],
)
def test_small_pictures_are_enlarged_until_letters_can_be_read(
    size: tuple[int, int], drawn: tuple[int, int]
) -> None:
    assert draw(*size, (0, 0, 1, 1, 0, 0.9)).size == drawn[::-1]


def test_boxes_of_an_enlarged_picture_are_enlarged_with_it() -> None:
    picture = np.asarray(draw(120, 160, (40, 40, 80, 80, 1, 0.9)))  # three times as large
    rows, columns = np.nonzero((picture == class_colour(1)).all(axis=2))
    assert (columns.min(), columns.max()) == (120, 239)
    assert rows.max() == 239


def test_lines_and_letters_grow_with_the_picture() -> None:
    def share(scale: int) -> float:
        box = (100 * scale, 100 * scale, 300 * scale, 300 * scale, 1, 0.9)
        return count_pixels(draw(480 * scale, 640 * scale, box), class_colour(1)) / scale**2

    assert share(8) == pytest.approx(share(2), rel=0.1)


def test_the_best_detection_is_on_top() -> None:
    picture = np.asarray(draw(480, 640, (100, 100, 300, 300, 0, 0.9), (100, 100, 300, 300, 1, 0.4)))
    assert tuple(picture[250, 100].tolist()) == class_colour(0)


def test_masks_are_veils_and_enlarged_with_a_small_picture() -> None:
    bitmap = np.zeros((120, 160), dtype=np.uint8)
    bitmap[50:70, 50:70] = 1
    packed = coco_mask.encode(np.asfortranarray(bitmap))
    picture = np.asarray(
        draw_predictions(
            np.full((120, 160, 3), GREY, dtype=np.uint8),
            boxes=np.array([[40, 40, 80, 80]], dtype=np.float32),
            labels=np.array([1]),
            scores=np.array([0.9], dtype=np.float32),
            masks=MaskRuns(Size(120, 160), (packed["counts"],)),
            class_names=NAMES,
        )
    )
    veil = 0.6 * GREY + 0.4 * np.array(class_colour(1))
    is_veiled = abs(picture - veil).max(axis=2) <= 2
    rows, columns = np.nonzero(is_veiled)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (151, 208, 151, 208)  # and the line
