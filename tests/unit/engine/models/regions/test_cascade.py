import math

import pytest
import torch

from hrdet_cli.engine.models.boxes.arithmetic import BoxCoder
from hrdet_cli.engine.models.boxes.clipping import BoxClipping
from hrdet_cli.engine.models.boxes.losses import BoxLoss
from hrdet_cli.engine.models.boxes.matching import Matcher
from hrdet_cli.engine.models.boxes.sampling import Sampler
from hrdet_cli.engine.models.dense.proposals import Proposals
from hrdet_cli.engine.models.regions.box_stage import BoxStage, RegionPredictions
from hrdet_cli.engine.models.regions.cascade import CascadeStage, average_logits, without_targets
from hrdet_cli.engine.models.regions.pooling import RegionPooling
from hrdet_cli.engine.models.regions.region_draw import DrawnRegions, RegionDraw

SIZES = torch.tensor([[40, 60], [50, 30]])


def make_stage(*, class_agnostic_boxes: bool = True, clipping: BoxClipping | None = None) -> CascadeStage:
    return CascadeStage(
        box_stage=BoxStage(
            in_channels=2,
            num_classes=3,
            pooling=RegionPooling(strides=(4,), cells=2, sampling_ratio=2, aligned=True),
            hidden_features=4,
            class_agnostic_boxes=class_agnostic_boxes,
            coder=BoxCoder(stds=(0.1, 0.1, 0.2, 0.2)),
            box_loss=BoxLoss(kind="l1"),
        ),
        region_draw=RegionDraw(
            num_classes=3,
            matcher=Matcher(positive_iou=0.5, negative_iou=0.5, min_positive_iou=None),
            sampler=Sampler(num_samples=8, positive_fraction=0.25, stream=1),
        ),
        loss_weight=1.0,
        clipping=clipping or BoxClipping(),
    )


def predictions_with(deltas: list[list[list[float]]]) -> RegionPredictions:
    shaped = torch.tensor(deltas)[:, :, None]
    return RegionPredictions(logits=torch.zeros(*shaped.shape[:2], 4, requires_grad=True), deltas=shaped)


@pytest.mark.parametrize(
    ("clipping", "far_corner"), [(BoxClipping(), 0.0), (BoxClipping(corners="inclusive"), 1.0)]
)
def test_regions_are_refined_and_clipped_to_their_own_picture(
    clipping: BoxClipping, far_corner: float
) -> None:
    regions = Proposals(
        boxes=torch.tensor(
            [
                [[10.0, 10, 30, 30], [2, 2, 12, 12], [20, 5, 40, 15]],
                [[10, 10, 30, 30], [4, 4, 8, 8], [0, 0, 0, 0]],
            ]
        ),
        is_valid=torch.tensor([[True, True, True], [True, True, False]]),
    )
    # 1 moves by a tenth of a side, five times ln 2 doubles it.
    double = 5 * math.log(2)
    deltas = [
        [[1.0, -1.0, 0.0, 0.0], [-20.0, -20.0, 0.0, 0.0], [0.0, 0.0, double, 0.0]],
        [[0.0, 0.0, double, double], [0.0, 0.0, 0.0, 0.0], [5.0, 5.0, 5.0, 5.0]],
    ]
    refined = make_stage(clipping=clipping).refine(predictions_with(deltas), regions, SIZES)
    wanted = torch.tensor(
        [
            [[12.0, 8, 32, 28], [0, 0, far_corner, far_corner], [10, 5, 50, 15]],
            [[0, 0, 30, 40], [4, 4, 8, 8], [0, 0, 0, 0]],
        ]
    )
    torch.testing.assert_close(refined.boxes, wanted)
    assert torch.equal(refined.is_valid, regions.is_valid)
    assert not refined.boxes.requires_grad


def test_the_ground_truth_is_not_handed_on() -> None:
    is_valid = torch.tensor([[True, True, True, False]])
    drawn = DrawnRegions(
        boxes=torch.rand(1, 4, 4),
        labels=torch.tensor([[0, 1, 3, 3]]),
        target_index=torch.zeros(1, 4, dtype=torch.int64),
        is_positive=torch.tensor([[True, True, False, False]]),
        is_target=torch.tensor([[False, True, False, False]]),
        is_valid=is_valid,
    )
    regions = without_targets(drawn)
    assert regions.is_valid.tolist() == [[True, False, True, False]]
    assert torch.equal(regions.boxes, drawn.boxes)


def test_the_logits_of_the_stages_are_averaged_and_the_boxes_are_the_last_ones() -> None:
    stages = [predictions_with([[[float(number), 0.0, 0.0, 0.0]]]) for number in range(3)]
    stages = [
        RegionPredictions(torch.full((1, 1, 4), value), stage.deltas)
        for value, stage in zip((1.0, 2.0, 6.0), stages, strict=True)
    ]
    averaged = average_logits(stages)
    assert averaged.logits.tolist() == [[[3.0] * 4]]
    assert averaged.deltas is stages[-1].deltas


def test_class_wise_boxes_are_refused() -> None:
    with pytest.raises(ValueError, match="gives a region one box, but its regressor has 12 outputs"):
        make_stage(class_agnostic_boxes=False)
