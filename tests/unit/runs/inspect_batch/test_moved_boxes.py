from pathlib import Path

import numpy as np
import pytest

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.transforms import Crop, Placement
from hrdet_cli.engine.geometry import Size
from hrdet_cli.runs.inspect_batch.moved_boxes import move_targets


@pytest.fixture
def annotations() -> CocoAnnotations:
    """One picture of 100 x 80 with three boxes and a crowd region."""
    boxes = [[10, 10, 30, 30], [50, 20, 90, 60], [0, 60, 20, 80], [0, 0, 100, 80]]
    return CocoAnnotations(
        path=Path("some.json"),
        fingerprint="",
        image_ids=np.array([1]),
        file_names=np.array(["a.jpg"]),
        sizes=np.array([[80, 100]], dtype=np.int32),
        offsets=np.array([0, 4]),
        boxes=np.array(boxes, dtype=np.float32),
        labels=np.zeros(4, dtype=np.int64),
        is_crowd=np.array([False, False, False, True]),
        class_names=("thing",),
        category_ids=(1,),
        dropped_boxes={},
    )


def test_without_a_crop_every_box_stays_whole(annotations: CocoAnnotations) -> None:
    moved = move_targets(annotations, 0, Placement(Size(160, 200)))
    assert moved.boxes.tolist() == [[20, 20, 60, 60], [100, 40, 180, 120], [0, 120, 40, 160]]
    assert (moved.num_lost, moved.num_clipped) == (0, 0)


def test_a_crop_loses_boxes_whose_centre_is_outside_and_clips_those_it_cuts(
    annotations: CocoAnnotations,
) -> None:
    # Twice as large, then columns 0 to 150 and rows 0 to 130: the second box ends at 180, and the third has
    # its centre at row 140.
    moved = move_targets(annotations, 0, Placement(Size(160, 200), Crop(0, 0, Size(130, 150))))
    assert moved.boxes.tolist() == [[20, 20, 60, 60], [100, 40, 150, 120]]
    assert (moved.num_lost, moved.num_clipped) == (1, 1)
