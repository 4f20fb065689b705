"""Detectors of 2019 have the background first, and heads of regions without a prefix."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.weights.naming.mmdetection import to_mmdetection
from hrdet_cli.engine.weights.naming.recognition import describe_weights, recognise, to_ours
from hrdet_cli.engine.weights.naming.year_2019 import YEAR_2019
from tests.mmdetection_shapes import cascade, hrfpn, regions
from tests.state_dicts import State, numbered, ours_of, renamed, shapes_in, shapes_of


def rows_of(*classes: float, like: Tensor, per_class: int = 1) -> Tensor:
    """Rows that say whose they are."""
    values = torch.tensor([c + row / 10 for c in classes for row in range(per_class)])
    return values.view(-1, *[1] * (like.dim() - 1)).expand(-1, *like.shape[1:])


def with_background_first(state: State, *, num_classes: int) -> State:
    """The same detector, by mmdetection's names, as 2019's code would have saved it."""
    classes = [float(c) for c in range(num_classes + 1)]
    theirs = renamed(state, ("roi_head.", ""))
    for key, tensor in theirs.items():
        if ".fc_cls." in key or (".conv_logits." in key and "semantic" not in key):
            theirs[key] = rows_of(*classes, like=tensor)
        if ".fc_reg." in key and len(tensor) > 4:
            theirs[key] = rows_of(*classes, like=tensor, per_class=4)
    return theirs


LAYOUTS: dict[str, Callable[[State], State]] = {
    "mmdetection 0.6": lambda state: state,
    "HRNet-Object-Detection's HRFPN": lambda state: renamed(
        state,
        ("neck.reduction_conv.conv.", "neck.reduction_conv.0."),
        ("neck.fpn_convs.", "neck.fpn_conv."),
        *((f"neck.fpn_conv.{level}.conv.", f"neck.fpn_conv.{level}.") for level in range(5)),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_the_background_s_box_is_given_up_and_its_row_is_put_last(layout: Callable[[State], State]) -> None:
    ours = ours_of("hrnet2019-w18")
    theirs = layout(with_background_first(to_mmdetection(ours), num_classes=80))
    writer, contents = recognise(theirs)
    assert describe_weights(writer, contents) == "Faster R-CNN of mmdetection 0.6 or 1 (2019)"
    got = to_ours(theirs, writer)
    assert shapes_in(got) == shapes_of("hrnet2019-w18")
    assert got["roi_head.classifier.bias"].tolist() == [*range(1, 81), 0]
    assert got["roi_head.classifier.weight"][:, 5].tolist() == [*range(1, 81), 0]
    for name in ("roi_head.regressor.weight", "roi_head.regressor.bias"):
        assert torch.equal(got[name], rows_of(*range(1, 81), like=ours[name], per_class=4))
    assert all(got[key] is tensor for key, tensor in ours.items() if not key.startswith("roi_head."))


def test_a_convolution_that_all_levels_share_becomes_that_of_each() -> None:
    of_2019 = with_background_first(to_mmdetection(ours_of("hrnet2019-w18")), num_classes=80)
    theirs = LAYOUTS["HRNet-Object-Detection's HRFPN"](of_2019)
    shared = {name: theirs.pop(f"neck.fpn_conv.0.{name}") for name in ("weight", "bias")}
    theirs = {key: tensor for key, tensor in theirs.items() if not key.startswith("neck.fpn_conv.")}
    got = to_ours(theirs | {f"neck.fpn_conv.{name}": tensor for name, tensor in shared.items()}, YEAR_2019)
    assert shapes_in(got) == shapes_of("hrnet2019-w18")
    for level in range(5):
        assert got[f"neck.fpn_convs.{level}.weight"] is shared["weight"]
        assert got[f"neck.fpn_convs.{level}.bias"] is shared["bias"]


def test_detectors_on_resnet_have_fpn_s_names() -> None:
    theirs = with_background_first(to_mmdetection(ours_of("hrnet2019-r50-fpn")), num_classes=80)
    assert shapes_in(to_ours(theirs, recognise(theirs)[0])) == shapes_of("hrnet2019-r50-fpn")


def test_a_mask_for_the_background_is_given_up() -> None:
    theirs = with_background_first(numbered({**hrfpn(18), **regions(has_masks=True)}), num_classes=80)
    writer, contents = recognise(theirs)
    assert (writer, str(contents)) == (YEAR_2019, "Mask R-CNN")
    got = to_ours(theirs, writer)
    assert got["mask_head.logits.bias"].tolist() == [*range(1, 81)]
    assert got["mask_head.logits.weight"][:, 7, 0, 0].tolist() == [*range(1, 81)]
    assert got["mask_head.convs.2.weight"] is theirs["mask_head.convs.2.conv.weight"]


@pytest.mark.parametrize("is_htc", [False, True], ids=["cascade", "HTC"])
def test_every_stage_of_a_cascade_has_its_background_put_last(is_htc: bool) -> None:
    theirs = numbered({**hrfpn(18), **cascade(has_masks=True, is_htc=is_htc)})
    theirs = with_background_first(theirs, num_classes=80)
    writer, contents = recognise(theirs)
    assert (writer, str(contents)) == (YEAR_2019, "HTC" if is_htc else "Cascade Mask R-CNN")
    got = to_ours(theirs, writer)
    for stage in range(3):
        assert got[f"roi_head.stages.{stage}.classifier.bias"].tolist() == [*range(1, 81), 0]
        assert got[f"roi_head.stages.{stage}.regressor.bias"] is theirs[f"bbox_head.{stage}.fc_reg.bias"]
        assert got[f"mask_head.stages.{stage}.logits.bias"].tolist() == [*range(1, 81)]
    if is_htc:
        assert got["semantic_head.logits.bias"] is theirs["semantic_head.conv_logits.bias"]


def test_boxes_and_masks_for_all_classes_stay_one() -> None:
    theirs = with_background_first(numbered({**hrfpn(18), **regions(has_masks=True)}), num_classes=80)
    theirs["bbox_head.fc_reg.weight"] = box = torch.ones(4, 1024)
    theirs["mask_head.conv_logits.weight"] = mask = torch.ones(1, 256, 1, 1)
    got = to_ours(theirs, YEAR_2019)
    assert got["roi_head.regressor.weight"] is box
    assert got["mask_head.logits.weight"] is mask
