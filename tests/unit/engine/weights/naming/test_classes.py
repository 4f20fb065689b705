"""Rows of classes are counted and put in order by our names of the layers."""

import pytest
import torch

from hrdet_cli.engine.weights.naming.classes import num_classes_of, with_background_last
from hrdet_cli.engine.weights.naming.mmdetection import MMDETECTION
from hrdet_cli.engine.weights.naming.recognition import to_ours
from hrdet_cli.engine.weights.naming.year_2019 import YEAR_2019
from tests.state_dicts import State


def of_faster_rcnn() -> State:
    return {
        "bbox_head.fc_cls.weight": torch.arange(3.0).view(-1, 1),
        "bbox_head.fc_cls.bias": torch.arange(3.0),
        "bbox_head.fc_reg.weight": torch.arange(12.0).view(-1, 1),
        "bbox_head.fc_reg.bias": torch.arange(12.0),
        "mask_head.conv_logits.bias": torch.arange(3.0),
    }


@pytest.mark.parametrize(
    ("background", "labels", "boxes", "masks"),
    [("first", [1, 2, 0], range(4, 12), [1, 2]), ("last", [0, 1, 2], range(8), [0, 1])],
)
def test_the_place_of_the_background_can_be_told(
    background: str, labels: list[int], boxes: range, masks: list[int]
) -> None:
    theirs = of_faster_rcnn()
    of_mmdetection = {f"roi_head.{key}": tensor for key, tensor in theirs.items()}
    for writer, state in ((YEAR_2019, theirs), (MMDETECTION, of_mmdetection)):
        got = to_ours(state, writer, background=background)  # type: ignore[arg-type]
        assert got["roi_head.classifier.bias"].tolist() == labels
        assert got["roi_head.classifier.weight"].flatten().tolist() == labels
        assert got["roi_head.regressor.weight"].flatten().tolist() == [*boxes]
        assert got["roi_head.regressor.bias"].tolist() == [*boxes]
        assert got["mask_head.logits.bias"].tolist() == masks
        assert num_classes_of(got) == 2


RETINA = {"retina_head.class_logits.bias": torch.arange(6.0), "retina_head.deltas.bias": torch.zeros(8)}


@pytest.mark.parametrize(
    ("tensors", "number"),
    [
        ({"roi_head.classifier.bias": torch.zeros(4)}, 3),
        ({"roi_head.stages.0.classifier.bias": torch.zeros(4)}, 3),
        (RETINA, 3),
        ({"fcos_head.class_logits.bias": torch.zeros(5)}, 5),
        ({"rpn.objectness.bias": torch.zeros(3), "backbone.fc.bias": torch.zeros(9)}, None),
        ({"roi_head.classifier.bias": torch.zeros(())}, None),
        ({"roi_head.classifier.bias": torch.zeros(0)}, None),
    ],
    ids=["faster", "cascade", "two anchors a cell", "fcos", "rpn", "a number", "nothing"],
)
def test_classes_are_counted_without_the_background(tensors: State, number: int | None) -> None:
    assert num_classes_of(tensors) == number


def test_one_stage_heads_lose_each_anchor_s_row_of_the_background() -> None:
    got = with_background_last(RETINA, background=None, dense_background="first")
    assert got["retina_head.class_logits.bias"].tolist() == [1, 2, 4, 5]
    got = with_background_last(RETINA, background=None, dense_background="last")
    assert got["retina_head.class_logits.bias"].tolist() == [0, 1, 3, 4]
    assert got["retina_head.deltas.bias"] is RETINA["retina_head.deltas.bias"]
    assert with_background_last(RETINA, background="first", dense_background=None) == RETINA
