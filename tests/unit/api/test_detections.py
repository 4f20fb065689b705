"""What was found in a picture: taken apart, drawn, and in other packages' forms."""

import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pycocotools import mask as coco_mask

import hrdet_cli as hrdet


@pytest.fixture(scope="module")
def found(detector: hrdet.Predictor, pictures: list[Path]) -> hrdet.Detections:
    """Many, with masks."""
    return detector.predict(pictures[0], min_score=0)


def test_it_is_a_sequence_of_detections(found: hrdet.Detections) -> None:
    assert len(found) == len(list(found)) == 20
    best = found[0]
    assert best.box == tuple(found.boxes[0].tolist())
    assert (best.score, best.label, best.name) == (
        found.scores[0],
        found.labels[0],
        found.class_names[found.labels[0]],
    )
    assert [one.name for one in found] == list(found.names)
    assert (np.diff(found.scores) <= 0).all()
    assert found.boxes.dtype == found.scores.dtype == np.float32
    with pytest.raises(IndexError):
        found[len(found)]
    with pytest.raises(AttributeError):
        found.boxes = found.boxes  # type: ignore[misc]  # it is frozen
    num_cats = int((found.labels == 0).sum())
    expected = f"{len(found)} detections in {found.picture}: {num_cats} cat, {len(found) - num_cats} dog"
    assert repr(found) == f"<{expected}>"
    assert repr(found[:0]) == f"<0 detections in {found.picture}>"


def test_some_of_it_are_detections_again_with_their_masks(found: hrdet.Detections) -> None:
    assert found.masks is not None
    for some, rows in (
        (found[2:5], [2, 3, 4]),
        (found[[4, 1]], [4, 1]),
        (found[found.labels == 1], np.flatnonzero(found.labels == 1)),
    ):
        assert np.array_equal(some.boxes, found.boxes[rows])
        assert np.array_equal(some.scores, found.scores[rows])
        assert some.masks is not None
        assert some.masks.to_coco() == [found.masks.to_coco()[row] for row in rows]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools
def test_masks_are_bitmaps_when_they_are_looked_at(found: hrdet.Detections) -> None:
    masks = found.masks
    assert masks is not None
    expected = [coco_mask.decode(packed).astype(bool) for packed in masks.to_coco()]
    assert np.array_equal(masks.stack(), expected)
    assert np.array_equal(masks[3], expected[3])
    assert np.array_equal(list(masks[1:3]), expected[1:3])
    assert masks.areas().tolist() == [int(mask.sum()) for mask in expected]
    assert masks[0].shape == (found.height, found.width)
    assert repr(masks) == f"<{len(found)} masks of 120 x 160 pixels>"
    none = found[:0].masks
    assert none is not None
    assert none.stack().shape == (0, 120, 160)


def test_it_is_drawn_over_its_picture_and_over_no_other(
    found: hrdet.Detections, pictures: list[Path]
) -> None:
    drawn = found[:3].draw(pictures[0])
    assert drawn.size == (480, 360)
    assert drawn.tobytes() != found[:0].draw(pictures[0]).tobytes()
    with pytest.raises(hrdet.DataError, match="is 130x90, and the picture that these were found in 160x120"):
        found.draw(pictures[1])


@dataclass
class OfSupervision:
    """The fields of ``supervision.Detections`` 0.31, where that is not installed."""

    xyxy: Any
    mask: Any = None
    confidence: Any = None
    class_id: Any = None
    tracker_id: Any = None
    data: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


def test_it_becomes_supervisions_detections(found: hrdet.Detections, monkeypatch: pytest.MonkeyPatch) -> None:
    if find_spec("supervision") is None:
        stand_in: Any = ModuleType("supervision")
        stand_in.Detections = OfSupervision
        monkeypatch.setitem(sys.modules, "supervision", stand_in)
    for some in (found, found[:0]):
        theirs: Any = some.to_supervision()
        assert np.array_equal(theirs.xyxy, some.boxes)
        assert np.array_equal(theirs.confidence, some.scores)
        assert np.array_equal(theirs.class_id, some.labels)
        assert theirs.mask.shape == (len(some), 120, 160)
        assert theirs.data["class_name"].tolist() == list(some.names)
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(hrdet.HrdetError, match=r"not installed; install it with: .* 'supervision>="):
        found.to_supervision()
