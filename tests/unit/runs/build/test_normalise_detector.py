from typing import get_args

import pytest
import torch
from torch import nn

from hrdet_cli.engine.models.backbones.deformable import DeformableConv
from hrdet_cli.engine.models.necks.hrfpn import HRFPN
from hrdet_cli.engine.norm.back_ends import NormBackEnd
from hrdet_cli.engine.norm.sync import SyncBatchNorm2d
from hrdet_cli.runs.build.detector import (
    build_detector,
    build_plain_detector,
    describe_norms,
    normalise_detector,
)
from hrdet_cli.specs.loading import load_spec


@pytest.mark.parametrize("back_end", [name for name in get_args(NormBackEnd) if name != "apex"])
def test_the_specs_back_end_reaches_every_norm(back_end: str) -> None:
    spec = load_spec(preset="demo", settings=["norm.kind=sync", f"norm.back_end={back_end}"]).spec
    with torch.device("meta"):
        detector = build_plain_detector(spec.model, num_classes=3)
    num_norms = sum(isinstance(module, nn.BatchNorm2d) for module in detector.modules())

    report = normalise_detector(detector, spec.norm)

    assert (report.back_end, report.num_converted, report.left_alone) == (back_end, num_norms, ())
    ours = {module.back_end for module in detector.modules() if isinstance(module, SyncBatchNorm2d)}
    assert ours == ({back_end} if back_end != "torch" else set())


@pytest.mark.parametrize("kind", ["batch", "sync"])
@pytest.mark.parametrize(("statistics", "hides_padding"), [("all", False), ("valid", True)])
@pytest.mark.parametrize("trains", [True, False])
def test_statistics_over_valid_pixels_hide_the_padding_in_training_and_evaluation(
    kind: str, statistics: str, hides_padding: bool, trains: bool
) -> None:
    settings = [f"norm.kind={kind}", f"norm.statistics={statistics}"]
    with torch.device("meta"):
        detector = build_detector(
            load_spec(preset="demo", settings=settings).spec, num_classes=3, trains=trains
        )
    assert detector.hides_padding == hides_padding


@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize(
    ("settings", "epsilon"),
    [
        (["norm.kind=sync", "norm.epsilon=1e-3"], 1e-3),
        (["norm.kind=batch", "norm.epsilon=1e-3"], 1e-3),
        (["norm.kind=frozen", "norm.epsilon=0", "model.weights=w.pth"], 0),
        (["norm.kind=frozen", "model.weights=w.pth"], 1e-5),
    ],
)
def test_the_specs_epsilon_reaches_every_norm_frozen_stages_too_in_training_and_evaluation(
    settings: list[str], epsilon: float, trains: bool
) -> None:
    settings = [*settings, "model.backbone.frozen_stages=1", "model.weights=w.pth"]
    with torch.device("meta"):
        detector = build_detector(
            load_spec(preset="demo", settings=settings).spec, num_classes=3, trains=trains
        )
    norms = [module for module in detector.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 71
    assert {norm.eps for norm in norms} == {epsilon}


def test_frozen_norms_keep_their_epsilon_among_group_norms() -> None:
    settings = ["norm.kind=group", "model.backbone.frozen_stages=1", "model.weights=w.pth"]
    with torch.device("meta"):
        detector = build_detector(
            load_spec(preset="demo", settings=settings).spec, num_classes=3, trains=True
        )
    norms = [module for module in detector.modules() if isinstance(module, nn.BatchNorm2d)]
    assert {norm.eps for norm in norms} == {1e-5}


def test_the_conventions_of_backbone_and_neck_reach_the_detector() -> None:
    resnet = load_spec(preset="mmdet3-r50-caffe-fpn").spec
    hrnet = load_spec(
        preset="demo",
        settings=["model.neck.interpolation=nearest", "model.neck.pooling=max"],
    ).spec
    with torch.device("meta"):
        caffe = build_plain_detector(resnet.model, num_classes=3)
        nearest = build_plain_detector(hrnet.model, num_classes=3)

    block = caffe.get_submodule("backbone.layer2.0")
    assert [block.get_submodule(name).stride for name in ("conv1", "conv2")] == [(2, 2), (1, 1)]
    assert caffe.pixel_order == "bgr"
    assert nearest.pixel_order == "rgb"
    assert isinstance(nearest.neck, HRFPN)
    assert (nearest.neck.interpolation, nearest.neck.pooling) == ("nearest", "max")


def test_groups_and_deformable_stages_reach_the_backbone() -> None:
    settings = ["cardinality=32", "group_width=8", "deformable={version: v2, levels: [4, 5], groups: 4}"]
    spec = load_spec(
        preset="r50-fpn-syncbn", settings=[f"model.backbone.{setting}" for setting in settings]
    ).spec
    with torch.device("meta"):
        detector = build_plain_detector(spec.model, num_classes=3)

    assert detector.get_parameter("backbone.layer1.0.conv2.weight").shape == (256, 8, 3, 3)
    moved = [name for name, module in detector.named_modules() if isinstance(module, DeformableConv)]
    assert {name.rpartition(".")[0].rpartition(".")[0] for name in moved} == {
        "backbone.layer3",
        "backbone.layer4",
    }
    assert detector.get_parameter("backbone.layer3.0.conv2.conv_offset.bias").shape == (27 * 4,)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (["norm.kind=sync"], "sync (71 layers, 0 frozen)"),
        (["norm.kind=sync", "norm.back_end=per-layer"], "sync, per-layer (71 layers, 0 frozen)"),
        (["norm.kind=batch", "norm.statistics=valid"], "batch, valid pixels (71 layers, 0 frozen)"),
    ],
)
def test_norms_are_described_in_words(settings: list[str], expected: str) -> None:
    spec = load_spec(preset="demo", settings=settings).spec
    with torch.device("meta"):
        detector = build_plain_detector(spec.model, num_classes=3)
    assert describe_norms(normalise_detector(detector, spec.norm), spec.norm) == expected
