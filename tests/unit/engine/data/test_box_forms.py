"""Right boxes are never refused, whatever they are like; those of other forms are, and become right."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hrdet_cli.engine.data.box_forms import BOX_FORMS, declares_coco_form, edges_of
from hrdet_cli.engine.data.box_judgement import judge_form
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.errors import DataError

Boxes = NDArray[np.float64]

# Five-line rewrites: from [x, y, width, height] in pixels to each form.
_TO_FORM: dict[str, Callable[[Boxes, Boxes], Boxes]] = {
    "xywh": lambda b, _: b,
    "xyxy": lambda b, _: np.stack([b[:, 0], b[:, 1], b[:, 0] + b[:, 2], b[:, 1] + b[:, 3]], axis=1),
    "yxyx": lambda b, _: np.stack([b[:, 1], b[:, 0], b[:, 1] + b[:, 3], b[:, 0] + b[:, 2]], axis=1),
    "cxcywh": lambda b, _: np.stack([b[:, 0] + b[:, 2] / 2, b[:, 1] + b[:, 3] / 2, b[:, 2], b[:, 3]], axis=1),
    "yxyx-shares": lambda b, e: _TO_FORM["yxyx"](b, e) / e[:, [1, 0, 3, 2]],
    "xywh-shares": lambda b, e: b / e,
    "xyxy-shares": lambda b, e: _TO_FORM["xyxy"](b, e) / e,
    "cxcywh-shares": lambda b, e: _TO_FORM["cxcywh"](b, e) / e,
}

_TOLD = [form for form in _TO_FORM if form != "yxyx-shares"]  # which look like xyxy-shares


def _drawn(
    num_boxes: int,
    size: tuple[int, int],
    shares: tuple[float, float],
    *,
    places: tuple[float, float] = (0, 1),
    is_clipped: bool = True,
    seed: int = 0,
) -> tuple[Boxes, Boxes]:
    """Boxes ``[x, y, width, height]`` in a picture of ``size`` (width, height), and its edges."""
    rng = np.random.default_rng(seed)
    edges = np.tile(np.array([*size, *size], dtype=np.float64), (num_boxes, 1))
    sides = rng.uniform(*shares, (num_boxes, 2)) * edges[:, :2]
    centres = rng.uniform(*places, (num_boxes, 2)) * edges[:, :2]
    corners = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1)
    if is_clipped:
        corners = corners.clip(0, edges)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1), edges


def _read(path: Path) -> tuple[Boxes, Boxes]:
    content = json.loads(path.read_text())
    sizes = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    boxes = np.array([item["bbox"] for item in content["annotations"]], dtype=np.float64)
    return boxes, edges_of(np.array([sizes[item["image_id"]] for item in content["annotations"]]))


_REAL = [
    *("bccd/instances_train", "bccd/instances_train_raw", "bccd/instances_val", "bccd/instances_test"),
    *("coco_pico/instances_train", "coco_pico/instances_val", "odd_free/instances_val"),
]


@pytest.mark.parametrize("form", _TOLD)
@pytest.mark.parametrize("part", _REAL)
def test_real_boxes_are_right_as_they_are_and_known_in_every_other_form(
    shared_data: Path, part: str, form: str
) -> None:
    boxes, edges = _read(shared_data / f"{part}.json")
    written = _TO_FORM[form](boxes, edges)
    judgement = judge_form(written, edges)
    if form == "xywh":
        assert judgement is None
        return
    assert judgement is not None
    assert judgement.is_certain
    assert judgement.form is BOX_FORMS[form]
    np.testing.assert_allclose(judgement.form.to_coco(written, edges), boxes, atol=1e-6)


@pytest.mark.parametrize("num_boxes", [1, 5, 10, 20, 100, 2000])
@pytest.mark.parametrize(
    ("size", "shares"),
    [
        *(((640, 480), shares) for shares in ((0.02, 0.5), (0.5, 1.2), (0.9, 1.0), (0.3, 0.3))),
        *(((1024, 1024), shares) for shares in ((0.003, 0.02), (0.001, 0.001))),
        *(((8000, 500), (0.01, 0.3)), ((3, 3), (0.4, 1.0))),
    ],
)
def test_right_boxes_are_never_doubted(
    num_boxes: int, size: tuple[int, int], shares: tuple[float, float]
) -> None:
    for seed in range(20):
        for places in ((0.0, 1.0), (0.4, 0.6), (0.0, 0.3), (0.7, 1.0), (0.5, 0.5)):
            boxes, edges = _drawn(num_boxes, size, shares, places=places, seed=seed)
            judgement = judge_form(boxes, edges)
            assert judgement is None, (seed, places, judgement)


@pytest.mark.parametrize("num_boxes", [10, 30, 100, 1000])
@pytest.mark.parametrize("shares", [(0.01, 0.1), (0.05, 0.4), (0.3, 0.9)])
def test_boxes_drawn_past_the_border_are_not_refused(num_boxes: int, shares: tuple[float, float]) -> None:
    for seed in range(20):
        boxes, edges = _drawn(num_boxes, (640, 480), shares, is_clipped=False, seed=seed)
        judgement = judge_form(boxes, edges)
        assert judgement is None or not judgement.is_certain


@pytest.mark.parametrize("wrong", ["half", "exchanged", "ninety percent"])
def test_boxes_in_pictures_of_wrong_sizes_are_not_refused(wrong: str) -> None:
    for seed in range(20):
        for shares in ((0.01, 0.1), (0.05, 0.4), (0.3, 0.9)):
            boxes, edges = _drawn(200, (640, 480), shares, seed=seed)
            factor = {"half": 0.5, "ninety percent": 0.9, "exchanged": 1}[wrong]
            edges = edges[:, [1, 0, 3, 2]] if wrong == "exchanged" else edges * factor
            judgement = judge_form(boxes, edges)
            assert judgement is None or not judgement.is_certain


@pytest.mark.parametrize("form", _TOLD[1:])
def test_a_few_dozen_boxes_suffice(form: str) -> None:
    for seed in range(20):
        boxes, edges = _drawn(80, (300, 200), (0.05, 0.4), seed=seed)
        judgement = judge_form(_TO_FORM[form](boxes, edges), edges)
        assert judgement is not None
        assert (judgement.form, judgement.is_certain) == (BOX_FORMS[form], True)


def test_where_corners_may_have_the_y_first_that_is_said_and_the_form_can_be_named() -> None:
    boxes, edges = _drawn(80, (200, 200), (0.05, 0.4))
    for form, other in (("xyxy", "yxyx"), ("xyxy-shares", "yxyx-shares")):
        judgement = judge_form(_TO_FORM[form](boxes, edges), edges)
        assert judgement is not None
        assert judgement.form is BOX_FORMS[form]
        assert judgement.reason.endswith(f"would fit too: name them with --boxes {other} if they are that")
        converted = BOX_FORMS[other].to_coco(_TO_FORM[other](boxes, edges), edges)
        np.testing.assert_allclose(converted, boxes, atol=1e-9)


def test_one_box_in_fifty_may_be_broken() -> None:
    boxes, edges = _drawn(200, (300, 200), (0.05, 0.4))
    written = _TO_FORM["xyxy"](boxes, edges)
    written[:3, 2] = 900
    judgement = judge_form(written, edges)
    assert judgement is not None
    assert judgement.reason == (
        f"read as COCO's, {_num_out(written, edges)} of 200 boxes reach out of their pictures; read so, 3"
    )


def _num_out(boxes: Boxes, edges: Boxes) -> int:
    return int((boxes[:, :2] + boxes[:, 2:] > edges[:, :2] + 1).any(axis=1).sum())


def test_shares_that_fit_in_several_forms_are_not_guessed() -> None:
    boxes = np.array([[0.5, 0.5, 0.1, 0.1], [0.4, 0.4, 0.1, 0.2], [0.3, 0.6, 0.2, 0.2]])
    judgement = judge_form(boxes, np.full((3, 4), 100.0))
    assert judgement is not None
    assert (judgement.form, judgement.is_certain) == (None, True)
    assert judgement.what == (
        "of 3 boxes 3 lie between 0 and 1; which of cxcywh-shares or xywh-shares they are, they do not tell"
    )


@pytest.mark.parametrize(("most", "name"), [(100, "percents"), (1000, "thousandths")])
def test_percents_and_thousandths_get_a_note(most: int, name: str) -> None:
    boxes, _ = _drawn(200, (most, most), (0.05, 0.4))
    judgement = judge_form(boxes, np.tile([1920.0, 480.0, 1920.0, 480.0], (200, 1)))
    assert judgement is not None
    assert not judgement.is_certain
    assert f"{name}, as [x, y, width, height]?" in judgement.suspicion


def test_shares_among_pixels_get_a_note() -> None:
    boxes, edges = _drawn(40, (300, 200), (0.05, 0.4))
    boxes[::2] /= edges[::2]
    judgement = judge_form(boxes, edges)
    assert judgement is not None
    assert not judgement.is_certain
    assert "20 of 40 lie between 0 and 1, as shares of the picture do" in judgement.suspicion


@pytest.mark.parametrize("form", ["xyxy", "cxcywh-shares"])
def test_two_boxes_get_a_note_and_one_does_not(form: str) -> None:
    boxes = np.array([[150, 120, 50, 40], [100, 90, 80, 60]], dtype=np.float64)
    edges = np.tile([200.0, 160.0, 200.0, 160.0], (2, 1))
    judgement = judge_form(_TO_FORM[form](boxes, edges), edges)
    assert judgement is not None
    assert not judgement.is_certain
    assert judge_form(_TO_FORM[form](boxes, edges)[:1], edges[:1]) is None


def test_empty_boxes_are_no_shares() -> None:
    assert judge_form(np.zeros((50, 4)), np.full((50, 4), 100.0)) is None


def _write(folder: Path, form: str, *, info: object = None) -> Path:
    boxes, edges = _drawn(80, (300, 200), (0.05, 0.4))
    written = _TO_FORM[form](boxes, edges).tolist()
    content = {
        "info": info,
        "images": [{"id": 1, "file_name": "a.jpg", "width": 300, "height": 200}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 1, "bbox": box} for i, box in enumerate(written)
        ],
        "categories": [{"id": 1, "name": "thing"}],
    }
    path = folder / "my boxes.json"
    path.write_text(json.dumps(content))
    return path


def test_training_refuses_other_forms_with_the_command_that_converts_them(tmp_path: Path) -> None:
    path = _write(tmp_path, "xyxy")
    with pytest.raises(DataError) as caught:
        load_coco(path)
    message = str(caught.value)
    assert message.startswith(
        f"{path}: the boxes are no [x, y, width, height] in pixels, as COCO's are: they are corners "
        "[x1, y1, x2, y2] in pixels (read as COCO's, "
    )
    assert message.endswith(f"hrdet check-data '{path}' --fix-out '{tmp_path}/my boxes-xywh.json'")


def test_a_file_that_says_that_its_boxes_are_coco_s_is_believed(tmp_path: Path) -> None:
    path = _write(tmp_path, "xyxy", info={"box_format": "xywh"})
    assert len(load_coco(path).boxes) > 0
    assert not any(map(declares_coco_form, (None, "xywh", {"box_format": "xyxy"}, ["box_format"])))
