"""Every writer's names become ours, and ours become mmdetection's and come back bit for bit."""

import re
from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import Tensor
from torchvision.models.detection import fasterrcnn_resnet50_fpn, fasterrcnn_resnet50_fpn_v2

from hrdet_cli.engine.weights.naming.classes import num_classes_of
from hrdet_cli.engine.weights.naming.hrdet import HRDET
from hrdet_cli.engine.weights.naming.imagenet import IMAGENET
from hrdet_cli.engine.weights.naming.mmdetection import MMDETECTION, to_mmdetection
from hrdet_cli.engine.weights.naming.recognition import describe_weights, recognise, to_ours
from hrdet_cli.engine.weights.naming.torchvision import TORCHVISION
from hrdet_cli.engine.weights.naming.year_2019 import YEAR_2019
from hrdet_cli.errors import WeightsError
from tests.state_dicts import State, ours_of, renamed, shapes_of

HEADS_OF_MMDETECTION = {
    # mmdetection 3: dense_heads/rpn_head.py, roi_heads/bbox_heads/{bbox_head,convfc_bbox_head}.py.
    "rpn_head.rpn_conv.weight": (256, 256, 3, 3),
    "rpn_head.rpn_conv.bias": (256,),
    "rpn_head.rpn_cls.weight": (3, 256, 1, 1),
    "rpn_head.rpn_cls.bias": (3,),
    "rpn_head.rpn_reg.weight": (12, 256, 1, 1),
    "rpn_head.rpn_reg.bias": (12,),
    "roi_head.bbox_head.fc_cls.weight": (81, 1024),
    "roi_head.bbox_head.fc_cls.bias": (81,),
    "roi_head.bbox_head.fc_reg.weight": (320, 1024),
    "roi_head.bbox_head.fc_reg.bias": (320,),
    "roi_head.bbox_head.shared_fcs.0.weight": (1024, 12544),
    "roi_head.bbox_head.shared_fcs.0.bias": (1024,),
    "roi_head.bbox_head.shared_fcs.1.weight": (1024, 1024),
    "roi_head.bbox_head.shared_fcs.1.bias": (1024,),
}
FPN_OF_MMDETECTION = {
    **{f"neck.lateral_convs.{i}.conv.weight": (256, 256 * 2**i, 1, 1) for i in range(4)},
    **{f"neck.lateral_convs.{i}.conv.bias": (256,) for i in range(4)},
    **{f"neck.fpn_convs.{i}.conv.weight": (256, 256, 3, 3) for i in range(4)},
    **{f"neck.fpn_convs.{i}.conv.bias": (256,) for i in range(4)},
}
HRFPN_OF_MMDETECTION = {
    "neck.reduction_conv.conv.weight": (256, 270, 1, 1),
    "neck.reduction_conv.conv.bias": (256,),
    **{f"neck.fpn_convs.{i}.conv.weight": (256, 256, 3, 3) for i in range(5)},
    **{f"neck.fpn_convs.{i}.conv.bias": (256,) for i in range(5)},
}


@pytest.mark.parametrize(
    ("preset", "neck"),
    [("mmdet3-r50-fpn", FPN_OF_MMDETECTION), ("mmdet3-hrnet-w18", HRFPN_OF_MMDETECTION)],
)
def test_names_and_shapes_behind_the_backbone_are_mmdetection_s(
    preset: str, neck: dict[str, tuple[int, ...]]
) -> None:
    theirs = to_mmdetection(ours_of(preset))
    behind = {key: tuple(tensor.shape) for key, tensor in theirs.items() if not key.startswith("backbone.")}
    assert behind == neck | HEADS_OF_MMDETECTION


@pytest.mark.parametrize("preset", ["mmdet3-r50-fpn", "mmdet3-r101-fpn", "mmdet3-hrnet-w18"])
def test_the_way_to_mmdetection_and_back_changes_no_bit(preset: str) -> None:
    ours = ours_of(preset)
    theirs = to_mmdetection(ours)
    assert recognise(theirs)[0] == MMDETECTION
    back = to_ours(theirs, MMDETECTION)
    assert back.keys() == ours.keys()
    assert all(back[key] is tensor for key, tensor in ours.items())


def rows(*values: float) -> Tensor:
    """A matrix whose rows say who they are."""
    return torch.tensor(values).view(-1, 1).expand(-1, 1024)


def boxes_of(*classes: float) -> Tensor:
    return torch.tensor([[c + side / 10] for c in classes for side in range(4)]).expand(-1, 1024)


def in_2019(state: State, *, num_classes: int) -> State:
    """The same detector as the ancestor's code would have saved it: the background first, with boxes."""
    theirs = renamed(to_mmdetection(state), ("roi_head.bbox_head", "bbox_head"))
    classes = [float(c) for c in range(num_classes + 1)]
    theirs["bbox_head.fc_cls.weight"] = rows(*classes)
    theirs["bbox_head.fc_cls.bias"] = torch.tensor(classes)
    theirs["bbox_head.fc_reg.weight"] = boxes_of(*classes)
    theirs["bbox_head.fc_reg.bias"] = boxes_of(*classes)[:, 0]
    return theirs


LAYOUTS_OF_2019: dict[str, Callable[[State], State]] = {
    "mmdetection 0.6": lambda state: state,
    "the ancestor's HRFPN": lambda state: renamed(
        state,
        ("neck.reduction_conv.conv.", "neck.reduction_conv.0."),
        ("neck.fpn_convs.", "neck.fpn_conv."),
        *((f"neck.fpn_conv.{level}.conv.", f"neck.fpn_conv.{level}.") for level in range(5)),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS_OF_2019.values(), ids=LAYOUTS_OF_2019)
def test_detectors_of_2019_give_up_the_background_s_box_and_put_it_last(
    layout: Callable[[State], State],
) -> None:
    ours = ours_of("hrnet2019-w18")
    theirs = layout(in_2019(ours, num_classes=80))
    assert recognise(theirs)[0] == YEAR_2019
    got = to_ours(theirs, YEAR_2019)
    assert {key: tensor.shape for key, tensor in got.items()} == shapes_of("hrnet2019-w18")
    assert got["roi_head.classifier.bias"].tolist() == [*range(1, 81), 0]
    assert got["roi_head.classifier.weight"][:, 5].tolist() == [*range(1, 81), 0]
    assert torch.equal(got["roi_head.regressor.weight"], boxes_of(*range(1, 81)))
    assert torch.equal(got["roi_head.regressor.bias"], boxes_of(*range(1, 81))[:, 0])
    assert all(got[key] is tensor for key, tensor in ours.items() if not key.startswith("roi_head."))


def test_a_convolution_that_all_levels_share_becomes_that_of_each() -> None:
    theirs = LAYOUTS_OF_2019["the ancestor's HRFPN"](in_2019(ours_of("hrnet2019-w18"), num_classes=80))
    shared = {name: theirs.pop(f"neck.fpn_conv.0.{name}") for name in ("weight", "bias")}
    theirs = {key: tensor for key, tensor in theirs.items() if not key.startswith("neck.fpn_conv.")}
    got = to_ours(theirs | {f"neck.fpn_conv.{name}": tensor for name, tensor in shared.items()}, YEAR_2019)
    assert {key: tensor.shape for key, tensor in got.items()} == shapes_of("hrnet2019-w18")
    for level in range(5):
        assert got[f"neck.fpn_convs.{level}.weight"] is shared["weight"]
        assert got[f"neck.fpn_convs.{level}.bias"] is shared["bias"]


def test_resnet_detectors_of_2019_have_fpn_s_names() -> None:
    theirs = in_2019(ours_of("hrnet2019-r50-fpn"), num_classes=80)
    got = to_ours(theirs, recognise(theirs)[0])
    assert {key: tensor.shape for key, tensor in got.items()} == shapes_of("hrnet2019-r50-fpn")


def test_a_box_for_all_classes_stays_one() -> None:
    theirs = in_2019(ours_of("hrnet2019-w18"), num_classes=80)
    theirs["bbox_head.fc_reg.weight"] = agnostic = boxes_of(0)
    assert to_ours(theirs, YEAR_2019)["roi_head.regressor.weight"] is agnostic


@pytest.mark.parametrize(
    ("background", "labels", "box_classes"), [("first", [1, 2, 0], [1, 2]), ("last", [0, 1, 2], [0, 1])]
)
def test_the_place_of_the_background_can_be_told(
    background: str, labels: list[int], box_classes: list[int]
) -> None:
    theirs = in_2019(ours_of("hrnet2019-w18"), num_classes=2)
    for writer, state in (
        (YEAR_2019, theirs),
        (MMDETECTION, renamed(theirs, ("bbox_head", "roi_head.bbox_head"))),
    ):
        got = to_ours(state, writer, background=background)  # type: ignore[arg-type]
        assert got["roi_head.classifier.bias"].tolist() == labels
        assert torch.equal(got["roi_head.regressor.weight"], boxes_of(*box_classes))
        assert num_classes_of(got) == 2


def torchvision_detector() -> State:
    with torch.device("meta"):
        detector = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    return dict(detector.state_dict())


def test_torchvision_s_detector_has_all_that_ours_needs() -> None:
    theirs = torchvision_detector()
    assert recognise(theirs)[0] == TORCHVISION
    got = to_ours(theirs, TORCHVISION)
    expected = dict(shapes_of("torchvision-r50-fpn"))
    for layer, num_rows in (("classifier", 91), ("regressor", 360)):
        expected[f"roi_head.{layer}.weight"] = torch.Size((num_rows, 1024))
        expected[f"roi_head.{layer}.bias"] = torch.Size((num_rows,))
    assert {key: tensor.shape for key, tensor in got.items()} == expected


def test_torchvision_s_older_names_mean_the_same() -> None:
    older = [re.sub(r"(_blocks\.\d|rpn\.head\.conv)(\.0)+\.", r"\1.", key) for key in torchvision_detector()]
    assert "rpn.head.conv.weight" in older
    assert "backbone.fpn.inner_blocks.3.weight" in older
    theirs = {key: torch.zeros(()) for key in older}
    assert to_ours(theirs, TORCHVISION).keys() == shapes_of("torchvision-r50-fpn").keys()


def test_torchvision_s_frozen_norms_lack_counters_only() -> None:
    theirs = torchvision_detector()
    frozen = {key: tensor for key, tensor in theirs.items() if not key.endswith("num_batches_tracked")}
    lost = to_ours(theirs, TORCHVISION).keys() - to_ours(frozen, recognise(frozen)[0]).keys()
    assert len(lost) == 53
    assert all(key.endswith(".num_batches_tracked") for key in lost)


def test_version_2_of_torchvision_s_detector_is_refused_by_its_name() -> None:
    with torch.device("meta"):
        theirs = dict(fasterrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None).state_dict())
    with pytest.raises(
        WeightsError, match="torchvision's Faster R-CNN, version 2, for which hrdet has no head"
    ):
        recognise(theirs)


@pytest.mark.parametrize("prefix", ["", "backbone."])
@pytest.mark.parametrize(
    ("name", "described"), [("hrnet_w32", "HRNetV2-W32 backbone"), ("resnet101", "ResNet-101 backbone")]
)
def test_a_backbone_s_file_becomes_the_backbone_s_part(name: str, described: str, prefix: str) -> None:
    is_hrnet = name == "hrnet_w32"
    with torch.device("meta"):
        network = timm.create_model(name) if is_hrnet else torchvision.models.resnet101()
    theirs = {f"{prefix}{key}": tensor for key, tensor in network.state_dict().items()}
    writer, contents = recognise(theirs)
    assert (writer, describe_weights(writer, contents)) == (IMAGENET, described)
    got = to_ours(theirs, writer)
    preset = "mmdet3-hrnet-w32" if is_hrnet else "mmdet3-r101-fpn"
    wanted = {key: shape for key, shape in shapes_of(preset).items() if key.startswith("backbone.")}
    assert wanted.items() <= {key: tensor.shape for key, tensor in got.items()}.items()
    surplus = {key.split(".")[1] for key in got.keys() - wanted.keys()}
    assert surplus == (
        {"incre_modules", "downsamp_modules", "final_layer", "classifier"} if is_hrnet else {"fc"}
    )


def test_our_own_names_stay() -> None:
    ours = ours_of("hrnet-w18")
    assert recognise(ours)[0] == HRDET
    assert to_ours(ours, HRDET) == ours


@pytest.mark.parametrize(
    "keys",
    [
        ["conv1.weight", "fc.weight"],
        ["rpn_head.conv.weight", "neck.weight", "backbone.layer4.0.conv3.weight"],
    ],
    ids=["no network at all", "the keys behind the backbone"],
)
def test_other_networks_are_refused_with_what_is_known(keys: list[str]) -> None:
    with pytest.raises(WeightsError) as caught:
        recognise({key: torch.zeros(()) for key in keys})
    assert str(caught.value) == (
        f"these weights are of no family that hrdet knows: their {len(keys)} tensors are called {keys[0]}, "
        f"{keys[1]} "
        "and so on. Known are HRNetV2 and ResNet backbones, and Faster R-CNN detectors of mmdetection, "
        "torchvision's version 1, HRNet-Object-Detection (2019) and hrdet."
    )


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("roi_head.bbox_head.0.fc_cls.weight", "a Cascade R-CNN"),
        ("bbox_head.0.fc_cls.weight", "a Cascade R-CNN"),
        ("bbox_head.retina_cls.weight", "RetinaNet or another one-stage detector"),
        ("head.classification_head.cls_logits.weight", "RetinaNet or another one-stage detector"),
        ("bbox_head.conv_cls.weight", "FCOS, ATSS or another one-stage detector"),
    ],
)
def test_other_detectors_are_refused_by_name(key: str, name: str) -> None:
    with pytest.raises(
        WeightsError, match=f"^these weights are of {name}, for which hrdet has no head. Known"
    ):
        recognise({key: torch.zeros(()), "backbone.layer4.0.conv3.weight": torch.zeros(())})


def test_the_file_is_named_whose_weights_nobody_knows() -> None:
    with pytest.raises(WeightsError, match=r"^weights w\.pth: these weights are of no family"):
        recognise({"x": torch.zeros(())}, source="w.pth")
