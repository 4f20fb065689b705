from collections.abc import Callable, Mapping
from types import MappingProxyType

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.structures import ClassRows
from hrdet_cli.engine.weights.loading import (
    LoadReport,
    ShapeDifference,
    compare_weights,
    describe_architecture,
    load_weights,
)
from hrdet_cli.engine.weights.naming.contents import Contents
from hrdet_cli.errors import WeightsError
from hrdet_cli.runs.build.detector import build_plain_detector
from hrdet_cli.specs.loading import load_spec
from tests.state_dicts import ours_of

State = dict[str, Tensor]


class Detector(nn.Module):
    """As few layers as can go wrong in every way, under a detector's names."""

    class_rows: Mapping[str, ClassRows] = MappingProxyType(
        {"roi_head.classifier": ClassRows(1, others=1), "roi_head.regressor": ClassRows(4)}
    )

    def __init__(self, *, num_classes: int = 3, agnostic: bool = False) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
        self.neck = nn.Conv2d(4, 2, 1)
        self.roi_head = nn.ModuleDict(
            {
                "classifier": nn.Linear(5, num_classes + 1),
                "regressor": nn.Linear(5, 4 if agnostic else 4 * num_classes),
            }
        )


def trained(detector: nn.Module) -> State:
    """Values that no new detector has."""
    return {
        key: torch.arange(7, 7 + tensor.numel()).view(tensor.shape).to(tensor.dtype)
        for key, tensor in detector.state_dict().items()
    }


def values(detector: nn.Module) -> State:
    return {key: tensor.clone() for key, tensor in detector.state_dict().items()}


def equal(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_what_fits_is_loaded_whole() -> None:
    detector, tensors = Detector(), trained(Detector())
    report = load_weights(detector, tensors, strict=True, source="w.pth")
    assert equal(values(detector), tensors)
    faster_rcnn = Contents(backbone=None, head="faster_rcnn")
    assert report == LoadReport(tuple(tensors), (), (), (), (), (), 3, faster_rcnn, faster_rcnn)


def test_a_backbone_s_weights_leave_the_rest_as_it_is() -> None:
    detector = Detector()
    before = values(detector)
    tensors = {key: tensor for key, tensor in trained(detector).items() if key.startswith("backbone.")}
    surplus = {"backbone.fc.weight": torch.ones(2), "backbone.incre_modules.0.weight": torch.ones(1)}
    report = load_weights(detector, tensors | surplus, strict=True, source="w.pth")
    assert report.surplus == tuple(surplus)
    assert report.missing == report.left_over == ()
    assert equal(values(detector), before | tensors)


class Deformable(Detector):
    """Whose backbone has moves as a deformable convolution's."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone.add_module("2", nn.ModuleDict({"conv_offset": nn.Conv2d(4, 18, 3)}))


def test_moves_of_taps_start_as_they_are_where_a_backbone_s_weights_have_none() -> None:
    detector = Deformable()
    before, tensors = values(detector), trained(detector)
    backbone = {key: tensor for key, tensor in tensors.items() if key.startswith("backbone.")}
    plain = {key: tensor for key, tensor in backbone.items() if "conv_offset" not in key}

    assert load_weights(detector, plain, strict=True, source="w.pth").fits
    assert equal(values(detector), before | plain)
    load_weights(detector, backbone, strict=True, source="w.pth")
    assert equal(values(detector), before | backbone)

    whole = {key: tensor for key, tensor in tensors.items() if "conv_offset" not in key}
    with pytest.raises(WeightsError, match=r"2 of \d+ tensors are missing: backbone\.2\.conv_offset\.weight"):
        load_weights(detector, whole, strict=True, source="w.pth")


def test_batch_counters_may_be_missing_or_too_many() -> None:
    detector, tensors = Detector(), trained(Detector())
    counter = tensors.pop("backbone.1.num_batches_tracked")
    load_weights(detector, tensors, strict=True, source="w.pth")
    assert detector.state_dict()["backbone.1.num_batches_tracked"] == 0
    report = load_weights(
        detector, tensors | {"neck.num_batches_tracked": counter}, strict=True, source="w.pth"
    )
    assert report.surplus == ("neck.num_batches_tracked",)


def test_batch_counters_that_an_average_of_checkpoints_made_fractions_are_left_out() -> None:
    detector, tensors = Detector(), trained(Detector())
    tensors["backbone.1.num_batches_tracked"] = torch.tensor(7.5)
    report = load_weights(detector, tensors, strict=True, source="w.pth")
    assert report.surplus == ("backbone.1.num_batches_tracked",)
    assert detector.state_dict()["backbone.1.num_batches_tracked"] == 0


@pytest.mark.parametrize("part", ["fc", "head.cls_subnet.8", "neck.increase_layers.0.0.conv1"])
def test_only_a_backbone_s_weights_may_have_a_classifier_s_layers(part: str) -> None:
    tensors = trained(Detector())
    classifier = {f"{part}.weight": torch.ones(2)}
    backbone = {key: value for key, value in tensors.items() if key.startswith("backbone.")}
    assert compare_weights(Detector(), backbone | classifier).surplus == (f"{part}.weight",)
    of_detector = tensors | {"rpn.objectness.weight": torch.ones(1)} | classifier
    assert compare_weights(Detector(), of_detector).left_over == ("rpn.objectness.weight", f"{part}.weight")


def test_statistics_of_batches_are_no_misfit_for_norms_that_keep_none() -> None:
    detector, tensors = Detector(), trained(Detector())
    detector.set_submodule("backbone.1", nn.GroupNorm(2, 4))
    report = load_weights(detector, tensors, strict=True, source="w.pth")
    assert report.surplus == (
        "backbone.1.running_mean",
        "backbone.1.running_var",
        "backbone.1.num_batches_tracked",
    )
    assert report.unused_statistics == report.surplus[:2]
    assert torch.equal(detector.state_dict()["backbone.1.weight"], tensors["backbone.1.weight"])


def test_statistics_of_a_norm_that_is_not_there_are_left_over() -> None:
    tensors = trained(Detector()) | {"backbone.9.running_mean": torch.ones(4)}
    with pytest.raises(WeightsError, match=r"1 tensor has no place in the model: backbone\.9\.running_mean"):
        load_weights(Detector(), tensors, strict=True, source="w.pth")


def test_weights_of_another_precision_are_loaded_in_the_detector_s() -> None:
    detector = Detector().double()
    halves = {k: v.half() if v.is_floating_point() else v for k, v in trained(detector).items()}
    load_weights(detector, halves, strict=True, source="w.pth")
    assert detector.state_dict()["neck.weight"].dtype == torch.float64
    assert detector.state_dict()["neck.weight"].flatten()[0] == 7


def test_other_classes_remake_the_last_layers_and_no_others() -> None:
    detector = Detector(num_classes=3)
    before = values(detector)
    tensors = trained(Detector(num_classes=80))
    report = load_weights(detector, tensors, strict=True, source="w.pth")
    remade = {key for key in before if key.startswith("roi_head.")}
    assert set(report.remade) == remade
    assert report.num_classes == 80
    assert equal(values(detector), {key: before[key] if key in remade else tensors[key] for key in before})


def test_a_box_for_all_classes_outlives_other_classes() -> None:
    detector, tensors = (
        Detector(num_classes=3, agnostic=True),
        trained(Detector(num_classes=8, agnostic=True)),
    )
    report = load_weights(detector, tensors, strict=True, source="w.pth")
    assert report.remade == ("roi_head.classifier.weight", "roi_head.classifier.bias")
    assert torch.equal(
        detector.state_dict()["roi_head.regressor.weight"], tensors["roi_head.regressor.weight"]
    )


@pytest.mark.parametrize("num_classes", [3, 8])
def test_boxes_by_class_are_not_those_for_all_classes(num_classes: int) -> None:
    report = compare_weights(Detector(), trained(Detector(num_classes=num_classes, agnostic=True)))
    assert [difference.key for difference in report.differing] == [
        "roi_head.regressor.weight",
        "roi_head.regressor.bias",
    ]


CHECK = (
    "Check that the model and the file are of the same kind and width; `hrdet weights inspect FILE` shows "
    "what the file is."
)


def test_a_misfit_is_told_whole_and_changes_nothing() -> None:
    detector, tensors = Detector(), trained(Detector())
    before = values(detector)
    for key in list(tensors)[1:]:
        if key.startswith("backbone."):
            del tensors[key]
    tensors["neck.bias"] = torch.ones(5)
    tensors["neck.weight"] = tensors["neck.weight"].long()
    tensors |= {f"extra.{index}": torch.ones(1) for index in range(7)}
    with pytest.raises(WeightsError) as caught:
        load_weights(detector, tensors, strict=True, source="w.pth")
    assert str(caught.value) == (
        "weights w.pth do not fit the model:\n"
        "4 of 11 tensors are missing: backbone.1.weight, backbone.1.bias, backbone.1.running_mean, "
        "backbone.1.running_var\n"
        "2 tensors have another shape: neck.weight is (2, 4, 1, 1) int64, needed (2, 4, 1, 1), "
        "neck.bias is (5,), needed (2,)\n"
        "7 tensors have no place in the model: extra.0, extra.1, extra.2, extra.3, extra.4 and 2 more\n"
        f"{CHECK} To take what fits: --set model.strict_weights=false. "
        "To train from random weights: --from-scratch"
    )
    assert equal(values(detector), before)


@pytest.mark.parametrize("part", ["mask_head", "roi_head.mask_head", "roi_heads.mask_head"])
def test_a_mask_r_cnn_is_called_by_its_name(part: str) -> None:
    tensors = trained(Detector()) | {f"{part}.0.weight": torch.ones(1)}
    with pytest.raises(WeightsError) as caught:
        load_weights(Detector(), tensors, strict=True, source="w.pth")
    assert str(caught.value).splitlines()[2] == (
        "These are a Mask R-CNN's; its boxes alone: --set model.strict_weights=false, or weights convert "
        "--loose"
    )


DETECTORS = {
    "faster": ("mmdet3-hrnet-w18",),
    "wider": ("mmdet3-hrnet-w32",),
    "mask": ("mmdet3-hrnet-w18", "model.head.mask={}"),
    "cascade": ("mmdet3-hrnet-w18", "model.head.kind=cascade_rcnn"),
}


@pytest.mark.parametrize(
    ("weights", "model", "told"),
    [
        ("faster", "faster", None),
        (
            "mask",
            "faster",
            "These are a Mask R-CNN's; its boxes alone: --set model.strict_weights=false, or weights convert "
            "--loose",
        ),
        (
            "faster",
            "mask",
            "These are a Faster R-CNN's, which has no masks. To train the mask branch on top of it: --set "
            "model.strict_weights=false",
        ),
        (
            "cascade",
            "faster",
            "These are of Cascade R-CNN on HRNetV2-W18, and the model is Faster R-CNN on HRNetV2-W18.",
        ),
        (
            "faster",
            "wider",
            "These are of Faster R-CNN on HRNetV2-W18, and the model is Faster R-CNN on HRNetV2-W32.",
        ),
    ],
)
def test_another_detector_is_called_by_its_name(weights: str, model: str, told: str | None) -> None:
    with torch.device("meta"):
        spec = load_spec(preset=DETECTORS[model][0], settings=DETECTORS[model][1:]).spec
        detector = build_plain_detector(spec.model, num_classes=80)
    report = compare_weights(detector, ours_of(*DETECTORS[weights]))
    assert list(describe_architecture(report)) == ([] if told is None else [told])


def test_what_fits_is_taken_where_that_is_asked_for() -> None:
    detector, tensors = Detector(), trained(Detector())
    before = values(detector)
    del tensors["backbone.0.weight"]
    tensors["neck.bias"] = torch.ones(5)
    tensors["mask_head.0"] = torch.ones(1)
    report = load_weights(detector, tensors, strict=False, source="w.pth")
    assert report.missing == ("backbone.0.weight",)
    assert report.differing == (ShapeDifference("neck.bias", "(5,)", "(2,)"),)
    assert report.left_over == ("mask_head.0",)
    kept = {"backbone.0.weight", "neck.bias"}
    assert equal(values(detector), {key: before[key] if key in kept else tensors[key] for key in before})


@pytest.mark.parametrize("strict", [True, False])
def test_weights_of_which_nothing_fits_are_always_an_error(strict: bool) -> None:
    with pytest.raises(WeightsError) as caught:
        load_weights(Detector(), {"a": torch.ones(1)}, strict=strict, source="w.pth")
    assert str(caught.value) == f"weights w.pth: not one of their 1 tensor fits the model. {CHECK}"


def spoilt(key: str, tensor: Tensor) -> Callable[[State], State]:
    return lambda tensors: tensors | {key: tensor}


@pytest.mark.parametrize(
    "spoil",
    [
        spoilt("roi_head.classifier.bias", torch.ones(())),
        spoilt("roi_head.classifier.weight", torch.ones(())),
        spoilt("roi_head.regressor.weight", torch.ones(9)),
        spoilt("roi_head.classifier.bias", torch.ones(0)),
    ],
)
def test_last_layers_of_no_sense_are_another_shape(spoil: Callable[[State], State]) -> None:
    assert compare_weights(Detector(), spoil(trained(Detector()))).differing


def test_comparing_needs_no_memory_for_the_detector() -> None:
    with torch.device("meta"):
        detector = Detector()
    assert compare_weights(detector, trained(Detector())).fits


@pytest.mark.parametrize(
    ("key", "value", "dtype", "kind"),
    [
        ("neck.bias", float("nan"), torch.float32, "NaN"),
        ("roi_head.classifier.weight", float("-inf"), torch.float16, "infinite"),
        ("neck.weight", 1e300, torch.float64, "infinite"),  # more than float32 holds
        ("backbone.1.running_var", -1.0, torch.float32, "negative"),
    ],
)
def test_values_that_no_detector_works_with_are_refused(
    key: str, value: float, dtype: torch.dtype, kind: str
) -> None:
    detector, tensors = Detector(), trained(Detector())
    before = values(detector)
    tensors[key] = tensors[key].to(dtype)
    tensors[key].view(-1)[1] = value
    with pytest.raises(WeightsError) as raised:
        load_weights(detector, tensors, strict=True, source="w.pth")
    assert str(raised.value) == (
        f"weights w.pth: 1 tensor holds NaN, infinity or a negative variance: {key} (1 {kind} of "
        f"{tensors[key].numel()}). No detector works with them; use another file."
    )
    assert equal(values(detector), before)
