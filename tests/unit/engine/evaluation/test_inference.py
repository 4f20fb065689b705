import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from pycocotools import mask as coco_mask
from torch import Tensor, nn

from hrdet_cli.engine.data.batch import Batch, PictureRecord
from hrdet_cli.engine.data.transforms import Placement, Resizing, move_boxes
from hrdet_cli.engine.evaluation.coco_results import DetectionTable
from hrdet_cli.engine.evaluation.inference import (
    detect_all,
    gather_pictures,
)
from hrdet_cli.engine.evaluation.mask_pasting import MaskPasting
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.geometry import Size, Window
from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.engine.structures import Detections, ImageBatch, Targets

CPU = torch.device("cpu")
EXCLUSIVE, INCLUSIVE = Resizing(), Resizing(box_corners="inclusive")


def record_of(image_id: int, original: Size, resized: Size, resizing: Resizing = EXCLUSIVE) -> PictureRecord:
    return PictureRecord(
        index=image_id,
        image_id=image_id,
        file_name=f"{image_id}.jpg",
        original=original,
        placement=Placement(resized=resized, resizing=resizing),
        ignored_boxes=torch.zeros(0, 4),
    )


def batch_of(*records: PictureRecord) -> Batch:
    num = len(records)
    sizes = torch.tensor([[r.placement.placed.height, r.placement.placed.width] for r in records])
    return Batch(
        images=ImageBatch(
            torch.zeros(num, 3, 4, 4, dtype=torch.uint8), sizes, torch.zeros(num, dtype=torch.int64)
        ),
        targets=Targets(
            torch.zeros(num, 8, 4),
            torch.zeros(num, 8, dtype=torch.int64),
            torch.zeros(num, 8, dtype=torch.bool),
        ),
        records=records,
    )


@dataclass(frozen=True)
class FakeLoader:
    content: Sequence[Batch]

    @property
    def num_rounds(self) -> int:
        return len(self.content)

    def batches(self) -> Iterator[Batch]:
        return iter(self.content)


class FakeDetector(nn.Module):
    """Finds the same canvas boxes in each picture; the last of its two rows can be padding."""

    def __init__(self, boxes: Tensor, *, num_valid: int, masks: Tensor | None = None) -> None:
        super().__init__()
        self.masks = masks
        self.linear = nn.Linear(4, 4)
        self.frozen_norm = nn.BatchNorm2d(2).eval()
        self.boxes = boxes
        self.num_valid = num_valid
        self.modes_seen: list[bool] = []
        self.dtypes_seen: list[torch.dtype] = []

    def for_detection(self) -> "FakeDetector":
        return self

    def detect(self, images: ImageBatch) -> Detections:
        self.modes_seen += [module.training for module in self.modules()]
        self.dtypes_seen.append(self.linear(torch.zeros(4)).dtype)
        num = len(images.keys)
        is_valid = torch.arange(len(self.boxes)) < self.num_valid
        scores = torch.linspace(0.9, 0.1, len(self.boxes)) * is_valid
        return Detections(
            boxes=self.boxes.expand(num, -1, -1),
            scores=scores.expand(num, -1),
            labels=torch.arange(len(self.boxes)).expand(num, -1),
            is_valid=is_valid.expand(num, -1),
            masks=None if self.masks is None else self.masks.expand(num, -1, -1, -1),
        )


def detect(
    model: FakeDetector, *batches: Batch, pasting: MaskPasting | None = None
) -> list[PictureDetections]:
    rounds = detect_all(
        model,
        FakeLoader(batches),
        device=CPU,
        numerics=Numerics(),
        pasting=pasting,
        stop_asked=lambda: False,
    )
    return [picture for done in rounds for picture in done.pictures]


def test_boxes_return_to_the_original_picture_axis_by_axis() -> None:
    # 100x37 became 200x75: twice as wide, 75/37 times as high. So x = 20/2 = 10, y = 15*37/75 = 7.4,
    # and the far corner of the resized picture is the far corner of the original.
    model = FakeDetector(torch.tensor([[20.0, 15.0, 200.0, 75.0]]), num_valid=1)
    (found,) = detect(model, batch_of(record_of(3, Size(37, 100), Size(75, 200))))
    assert found.image_id == 3
    torch.testing.assert_close(found.boxes, torch.tensor([[10.0, 7.4, 100.0, 37.0]]))


def test_inclusive_boxes_are_divided_without_the_last_pixel() -> None:
    # In 2019's terms [20, 15, 119, 44] in a picture twice as large is [10, 7.5, 59.5, 22]; it is 50.5 wide.
    model = FakeDetector(torch.tensor([[20.0, 15.0, 120.0, 45.0]]), num_valid=1)
    (found,) = detect(model, batch_of(record_of(3, Size(37, 100), Size(74, 200), INCLUSIVE)))
    torch.testing.assert_close(found.boxes, torch.tensor([[10.0, 7.5, 60.5, 23.0]]))


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("resizing", [EXCLUSIVE, INCLUSIVE])
def test_undoing_a_placement_is_the_inverse_of_making_it(resizing: Resizing, flipped: bool) -> None:
    generator = np.random.default_rng(5)
    original, placement = Size(427, 640), Placement(Size(800, 1199), flipped=flipped, resizing=resizing)
    corners = np.sort(generator.random((50, 2, 2)) * (original.width, original.height), axis=1)
    boxes = corners.reshape(50, 4).astype(np.float32)
    moved, _ = move_boxes(boxes, original, placement)
    model = FakeDetector(torch.from_numpy(moved), num_valid=50)
    record = replace(record_of(1, original, placement.resized), placement=placement)
    (found,) = detect(model, batch_of(record))
    torch.testing.assert_close(found.boxes, torch.from_numpy(boxes), rtol=0, atol=2e-4)


def test_boxes_never_leave_the_original_picture() -> None:
    # 99 / (33/32) and the like do not divide evenly in float32, and a detector may be off by a rounding.
    model = FakeDetector(torch.tensor([[-0.01, -0.01, 33.001, 33.001]]), num_valid=1)
    (found,) = detect(model, batch_of(record_of(1, Size(32, 31), Size(33, 33))))
    assert found.boxes.tolist() == [[0.0, 0.0, 31.0, 32.0]]


def test_padding_rows_are_dropped() -> None:
    model = FakeDetector(torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]]), num_valid=1)
    (found,) = detect(model, batch_of(record_of(1, Size(8, 8), Size(8, 8))))
    assert found.boxes.tolist() == [[1.0, 2.0, 3.0, 4.0]]
    assert found.scores.tolist() == pytest.approx([0.9])
    assert found.labels.tolist() == [0]


def test_each_picture_of_a_batch_is_scaled_by_its_own_factor() -> None:
    model = FakeDetector(torch.tensor([[2.0, 2.0, 4.0, 4.0]]), num_valid=1)
    same, doubled = record_of(1, Size(8, 8), Size(8, 8)), record_of(2, Size(4, 4), Size(8, 8))
    found = detect(model, batch_of(same, doubled), batch_of(doubled))
    assert [picture.image_id for picture in found] == [1, 2, 2]
    assert [picture.boxes.tolist() for picture in found] == [[[2, 2, 4, 4]], [[1, 1, 2, 2]], [[1, 1, 2, 2]]]


def test_masks_go_back_with_their_boxes_and_those_of_padding_rows_are_dropped() -> None:
    # The picture became twice as wide and three times as high: its pixels 2 .. 4 and 1 .. 2 are in the box.
    masks = torch.zeros(2, 4, 4)
    masks[0, :, :2] = 1  # the left half of the box: of its three columns one, and half of another
    model = FakeDetector(
        torch.tensor([[4.0, 3.0, 10.0, 9.0], [0.0, 0.0, 0.0, 0.0]]), num_valid=1, masks=masks
    )
    batch = batch_of(record_of(1, Size(4, 6), Size(12, 12)))
    (found,) = detect(model, batch, pasting=MaskPasting(threshold=0.5))
    assert found.masks is not None
    assert found.masks.size == Size(4, 6)
    (bitmap,) = found.masks.bitmaps()
    assert np.argwhere(bitmap).tolist() == [[1, 2], [1, 3], [2, 2], [2, 3]]
    (plain,) = detect(model, batch)
    assert plain.masks is None


def test_the_masks_of_a_mirrored_picture_are_mirrored_back() -> None:
    masks = torch.zeros(1, 4, 4)
    masks[0, :, :2] = 1  # the left half of a box whose picture is mirrored
    model = FakeDetector(torch.tensor([[4.0, 3.0, 8.0, 9.0]]), num_valid=1, masks=masks)
    record = replace(
        record_of(1, Size(12, 14), Size(12, 14)), placement=Placement(Size(12, 14), flipped=True)
    )
    (found,) = detect(model, batch_of(record), pasting=MaskPasting(threshold=0.5))
    assert found.boxes.tolist() == [[6, 3, 10, 9]]
    assert found.masks is not None
    (bitmap,) = found.masks.bitmaps()
    rows, columns = bitmap.nonzero()
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 8, 8, 9)


def test_boxes_and_masks_of_a_tile_go_to_their_place_in_the_picture() -> None:
    # A tile of 20x20 pixels at column 30 and row 10 of a picture, looked at twice as large.
    window = Window(left=30, top=10, size=Size(20, 20), whole=Size(40, 60))
    record = replace(record_of(1, Size(20, 20), Size(40, 40)), window=window)
    model = FakeDetector(torch.tensor([[8.0, 12.0, 16.0, 20.0]]), num_valid=1, masks=torch.ones(1, 4, 4))
    (found,) = detect(model, batch_of(record), pasting=MaskPasting(threshold=0.5))
    assert found.boxes.tolist() == [[34, 16, 38, 20]]
    assert found.masks is not None
    assert found.masks.size == Size(40, 60)
    (bitmap,) = found.masks.bitmaps()
    assert bitmap.sum() == 16
    assert bitmap[16:20, 34:38].all()


@pytest.mark.parametrize(
    ("box", "window", "is_cut"),
    [
        ([0, 10, 20, 20], Window(0, 0, Size(40, 40), Size(80, 80)), False),  # the picture's own edge
        ([10, 10, 40, 20], Window(0, 0, Size(40, 40), Size(80, 80)), True),
        ([10, 10, 20, 38], Window(0, 0, Size(40, 40), Size(80, 80)), True),
        ([10, 10, 35, 35], Window(0, 0, Size(40, 40), Size(80, 80)), False),
        ([3, 10, 20, 20], Window(40, 40, Size(40, 40), Size(80, 80)), True),
        ([10, 3, 20, 20], Window(40, 40, Size(40, 40), Size(80, 80)), True),
        ([5, 5, 40, 40], Window(40, 40, Size(40, 40), Size(80, 80)), False),
        ([0, 0, 40, 40], Window(0, 0, Size(40, 40), Size(40, 40)), False),
    ],
)
def test_a_box_is_cut_where_it_ends_at_an_edge_of_a_tile_and_the_picture_goes_on(
    box: list[float], window: Window, is_cut: bool
) -> None:
    model = FakeDetector(torch.tensor([box], dtype=torch.float32), num_valid=1)
    record = replace(record_of(1, Size(40, 40), Size(40, 40)), window=window)
    (found,) = detect(model, batch_of(record))
    assert found.is_cut is not None
    assert found.is_cut.tolist() == [is_cut]


def test_a_picture_that_is_seen_whole_has_no_cut_boxes() -> None:
    model = FakeDetector(torch.tensor([[0.0, 0.0, 8.0, 8.0]]), num_valid=1)
    (found,) = detect(model, batch_of(record_of(1, Size(8, 8), Size(8, 8))))
    assert found.is_cut is None


def modes_of(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def test_detection_runs_in_evaluation_mode_and_gives_every_module_its_mode_back() -> None:
    model = FakeDetector(torch.ones(1, 4), num_valid=1)
    before = modes_of(model)
    assert before == [True, True, False]  # itself, a layer in training, a layer that is frozen
    pictures = detect_all(
        model,
        FakeLoader([batch_of(record_of(1, Size(8, 8), Size(8, 8)))] * 3),
        device=CPU,
        numerics=Numerics(),
        stop_asked=lambda: False,
    )
    next(pictures)
    assert modes_of(model) == [False, False, False]
    pictures.close()
    assert modes_of(model) == before
    assert model.modes_seen == [False, False, False]


def test_the_modes_come_back_after_a_failure() -> None:
    model = FakeDetector(torch.ones(1, 4), num_valid=1)
    before = modes_of(model)
    broken = batch_of(record_of(1, Size(8, 8), Size(8, 8)))
    model.boxes = torch.ones(1, 3)  # three coordinates cannot be scaled by four factors
    with pytest.raises(RuntimeError, match="size of tensor"):
        detect(model, broken)
    assert modes_of(model) == before


def test_autocast_lasts_for_the_model_and_not_for_the_consumer() -> None:
    model = FakeDetector(torch.ones(1, 4), num_valid=1)
    batch = batch_of(record_of(1, Size(8, 8), Size(8, 8)))
    for done in detect_all(
        model,
        FakeLoader([batch]),
        device=CPU,
        numerics=Numerics(autocast=torch.bfloat16),
        stop_asked=lambda: False,
    ):
        assert not torch.is_autocast_enabled("cpu")
        assert done.pictures[0].boxes.dtype == torch.float32
    assert model.dtypes_seen == [torch.bfloat16]


def test_rounds_count_pictures_and_tell_in_which_one_a_stop_was_asked() -> None:
    model = FakeDetector(torch.ones(1, 4), num_valid=1)
    one = record_of(1, Size(8, 8), Size(8, 8))
    loader = FakeLoader([batch_of(one, one), batch_of(one), batch_of(one, one)])
    asked = iter([False, True, False])
    rounds = detect_all(model, loader, device=CPU, numerics=Numerics(), stop_asked=lambda: next(asked))
    assert [(done.num_done, done.stop_asked) for done in rounds] == [(2, False), (3, True), (5, False)]


def found_in(image_id: int, *, labels: Sequence[int] = (1, 0)) -> PictureDetections:
    return PictureDetections(
        image_id=image_id,
        boxes=torch.tensor([[10.0, 20.0, 110.1234567, 70.0], [0.0, 0.0, 1.0, 2.0]]),
        scores=torch.tensor([0.75, 0.1]),
        labels=torch.tensor(labels),
    )


def with_masks(picture: PictureDetections) -> PictureDetections:
    cells = np.ones((len(picture.boxes), 2, 2), dtype=np.float32)
    return replace(
        picture, masks=MaskPasting(threshold=0.5).paste(cells, picture.boxes.numpy(), Size(100, 120))
    )


def test_selected_detections_keep_their_masks() -> None:
    picture = with_masks(found_in(3))
    assert picture.masks is not None
    last = picture.select(picture.scores < 0.5)
    assert last.masks is not None
    assert (last.boxes.tolist(), last.labels.tolist()) == ([[0.0, 0.0, 1.0, 2.0]], [0])
    assert last.masks.counts == picture.masks.counts[1:]
    assert last.masks.areas().tolist() == [2]
    assert found_in(3).select(picture.scores < 0.5).masks is None


def test_gathered_pictures_have_their_masks() -> None:
    first, second = with_masks(found_in(1)), with_masks(found_in(2)).select(torch.tensor([False, False]))
    second = replace(second, is_cut=torch.zeros(0, dtype=torch.bool))
    gathered = gather_pictures([second, first])
    assert gathered is not None
    assert [picture.is_cut is None for picture in gathered] == [True, False]
    assert [picture.masks and picture.masks.counts for picture in gathered] == [
        first.masks and first.masks.counts,
        (),
    ]


def test_results_have_cocos_run_lengths_of_masks() -> None:
    results = DetectionTable.of([with_masks(found_in(42))]).results((90, 7))
    assert json.loads(json.dumps(results)) == results
    for result in results:
        segmentation = result["segmentation"]
        assert segmentation["size"] == [100, 120]
        x, y, width, height = coco_mask.toBbox(segmentation)
        assert [x, y, x + width, y + height] == pytest.approx(
            np.round([result["bbox"][0], result["bbox"][1], *np.add(result["bbox"][:2], result["bbox"][2:])])
        )


def test_gathered_pictures_come_by_id_with_every_bit_and_also_without_boxes() -> None:
    empty = PictureDetections(2, torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
    pictures = [found_in(3), empty, found_in(1)]
    gathered = gather_pictures(pictures)
    assert gathered is not None
    assert [picture.image_id for picture in gathered] == [1, 2, 3]
    for picture, original in zip(gathered, reversed(pictures), strict=True):
        for part in ("boxes", "scores", "labels"):
            value, expected = getattr(picture, part), getattr(original, part)
            assert (value.dtype, value.shape) == (expected.dtype, expected.shape)
            assert torch.equal(value, expected)
    assert gather_pictures([]) == []


def test_results_have_cocos_boxes_and_category_ids() -> None:
    results = DetectionTable.of([found_in(42)]).results((90, 7))
    assert results == [
        {"image_id": 42, "category_id": 7, "bbox": [10.0, 20.0, 100.123, 50.0], "score": 0.75},
        # a float32 score is written with all its digits: 0.1 is 0.10000000149... there
        {"image_id": 42, "category_id": 90, "bbox": [0.0, 0.0, 1.0, 2.0], "score": 0.10000000149011612},
    ]
    assert json.loads(json.dumps(results)) == results


def test_results_do_not_depend_on_the_order_of_the_pictures() -> None:
    pictures = [found_in(3), found_in(1), found_in(2)]
    results = DetectionTable.of(pictures).results((1, 2))
    assert results == DetectionTable.of(reversed(pictures)).results((1, 2))
    assert [result["image_id"] for result in results] == [1, 1, 2, 2, 3, 3]
    assert [result["category_id"] for result in results[:2]] == [2, 1]  # best first, as detected
