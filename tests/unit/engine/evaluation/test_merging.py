from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torchvision.ops import batched_nms

from hrdet_cli.engine.data.mask_runs import MaskRuns
from hrdet_cli.engine.evaluation.merging import ViewMerging
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.geometry import Size

MERGING = ViewMerging(nms_iou=0.5, max_detections=100)


def view_of(
    *boxes: Sequence[float],
    scores: Sequence[float],
    labels: Sequence[int] | None = None,
    is_cut: Sequence[bool] | None = None,
    image_id: int = 1,
) -> PictureDetections:
    return PictureDetections(
        image_id,
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(scores),
        torch.tensor(labels or [0] * len(scores)),
        is_cut=None if is_cut is None else torch.tensor(is_cut),
    )


def random_view(generator: np.random.Generator, *, num_boxes: int = 60) -> PictureDetections:
    corners = generator.random((num_boxes, 2)) * 60
    boxes = np.concatenate([corners, corners + 5 + generator.random((num_boxes, 2)) * 30], axis=1)
    scores = np.sort(generator.random(num_boxes).round(2))[::-1].astype(np.float32)
    labels = generator.integers(3, size=num_boxes)
    return PictureDetections(
        1,
        torch.from_numpy(boxes.astype(np.float32)),
        torch.from_numpy(scores.copy()),
        torch.from_numpy(labels),
    )


def test_one_view_of_a_picture_stays_as_it_is() -> None:
    first = view_of([0, 0, 10, 10], [0, 0, 10, 9], scores=[0.9, 0.8])
    second = view_of([0, 0, 10, 10], scores=[0.9], image_id=2)
    merged = MERGING.merge_all([first, second])
    assert merged[0] is first
    assert merged[1] is second


def test_views_of_the_whole_picture_merge_as_by_torchvisions_nms() -> None:
    generator = np.random.default_rng(3)
    views = [random_view(generator) for _ in range(4)]
    merged = ViewMerging(nms_iou=0.4, max_detections=50).merge(views)
    boxes, scores, labels = (
        torch.cat([getattr(view, name) for view in views]) for name in ("boxes", "scores", "labels")
    )
    rows = batched_nms(boxes.double(), scores.double(), labels, 0.4)
    assert len(rows) > 50  # the best of them are kept
    assert set(map(tuple, merged.boxes.tolist())) >= {
        tuple(boxes[row].tolist()) for row in rows[:50].tolist() if scores[row] > scores[rows[49]]
    }
    assert torch.equal(merged.scores, scores[rows[:50]])


def test_the_order_of_views_does_not_matter() -> None:
    generator = np.random.default_rng(4)
    views = [random_view(generator) for _ in range(3)]  # scores with two digits: many are equal
    cut = [replace(view, is_cut=torch.from_numpy(generator.random(60) < 0.4)) for view in views]
    for in_order in (views, cut):
        one, other = MERGING.merge(in_order), MERGING.merge(in_order[::-1])
        assert torch.equal(one.boxes, other.boxes)
        assert torch.equal(one.labels, other.labels)


def test_a_part_gives_way_to_the_whole_object_however_sure_the_detector_was_of_it() -> None:
    part = view_of([90, 10, 100, 30], scores=[0.99], is_cut=[True])
    whole = view_of([90, 10, 110, 30], scores=[0.4], is_cut=[False])
    merged = MERGING.merge([part, whole])
    assert merged.boxes.tolist() == [[90, 10, 110, 30]]
    assert merged.is_cut is None


def test_a_whole_object_never_gives_way_to_a_part() -> None:
    # An object lies inside of the visible part of another one of its class.
    part = view_of([0, 0, 100, 100], scores=[0.99], is_cut=[True])
    whole = view_of([40, 40, 60, 60], scores=[0.4], is_cut=[False])
    assert MERGING.merge([part, whole]).scores.tolist() == torch.tensor([0.99, 0.4]).tolist()


def test_a_part_of_another_class_stays() -> None:
    part = view_of([90, 10, 100, 30], scores=[0.9], labels=[1], is_cut=[True])
    whole = view_of([90, 10, 110, 30], scores=[0.8], labels=[2], is_cut=[False])
    assert MERGING.merge([part, whole]).labels.tolist() == [1, 2]


def test_of_parts_alone_those_that_lie_by_more_than_half_in_better_ones_give_way() -> None:
    # Nothing shows all of an object of 60 columns: of tiles that end at 30 and begin at 20, 14 and 16, whose
    # parts of it share 10 of 40 (no more than half), 16 of 46 and 14 of 20 columns with the first one.
    first = view_of([0, 0, 30, 10], scores=[0.9], is_cut=[True])
    others = [
        view_of([20, 0, 60, 10], scores=[0.8], is_cut=[True]),
        view_of([16, 0, 36, 10], scores=[0.7], is_cut=[True]),
    ]
    assert MERGING.merge([first, *others]).scores.tolist() == torch.tensor([0.9, 0.8]).tolist()


def test_of_a_picture_in_tiles_all_detections_are_kept() -> None:
    boxes = [[20.0 * column, 0, 20.0 * column + 10, 10] for column in range(8)]
    halves = [
        view_of(*boxes[:4], scores=[0.5] * 4, is_cut=[False] * 4),
        view_of(*boxes[4:], scores=[0.6] * 4, is_cut=[False] * 4),
    ]
    few = ViewMerging(nms_iou=0.5, max_detections=4)
    assert len(few.merge(halves).scores) == 8
    of_wholes = few.merge([replace(half, is_cut=None) for half in halves])
    assert of_wholes.scores.tolist() == torch.tensor([0.6] * 4).tolist()


def test_masks_stay_with_their_detections() -> None:
    size = Size(10, 10)
    first = replace(
        view_of([0, 0, 5, 5], [5, 5, 9, 9], scores=[0.9, 0.2]), masks=MaskRuns(size, (b"a", b"b"))
    )
    second = replace(
        view_of([0, 0, 5, 5], [1, 6, 4, 9], scores=[0.8, 0.7]), masks=MaskRuns(size, (b"c", b"d"))
    )
    masks = MERGING.merge([first, second]).masks
    assert masks is not None
    assert (masks.size, masks.counts) == (size, (b"a", b"d", b"b"))
