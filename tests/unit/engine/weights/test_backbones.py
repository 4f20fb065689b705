from typing import Any

import pytest
import torch
import torchvision

from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.models.backbones.resnet import DeformableStages, ResNet
from hrdet_cli.engine.weights.backbones import recognise_backbone
from hrdet_cli.engine.weights.naming.imagenet import IMAGENET
from hrdet_cli.engine.weights.naming.recognition import to_ours


@pytest.mark.parametrize("name", ["w18", "w64", "w18_ssld", "w48_ssld"])
def test_the_width_of_an_hrnet_is_seen(name: str) -> None:
    import timm

    with torch.device("meta"):
        tensors = to_ours(timm.create_model(f"hrnet_{name}").state_dict(), IMAGENET)
    width = name.removesuffix("_ssld")
    backbone = recognise_backbone(tensors)
    assert backbone is not None
    assert (backbone.kind, backbone.variant, str(backbone)) == ("hrnet", width, f"HRNetV2-{width.upper()}")


@pytest.mark.parametrize("name", ["w18", "w48"])
def test_a_distilled_hrnet_of_timm_fills_all_of_ours(name: str) -> None:
    import timm

    with torch.device("meta"):
        theirs = to_ours(timm.create_model(f"hrnet_{name}_ssld").state_dict(), IMAGENET)
        ours = HRNet(HRNET_CONFIGS[name]).state_dict()
    assert {key: tensor.shape for key, tensor in ours.items()} == {
        key: theirs[f"backbone.{key}"].shape for key in ours
    }
    left_over = {key.split(".")[1] for key in theirs} - {key.split(".")[0] for key in ours}
    assert left_over == {"incre_modules", "downsamp_modules", "final_layer", "classifier"}


@pytest.mark.parametrize(("depth", "name"), [(50, "ResNet-50"), (101, "ResNet-101"), (152, "None")])
def test_the_depth_of_a_resnet_is_seen_if_it_is_one_of_ours(depth: int, name: str) -> None:
    with torch.device("meta"):
        network = getattr(torchvision.models, f"resnet{depth}")()
    assert str(recognise_backbone(to_ours(network.state_dict(), IMAGENET))) == name


def test_a_resnet_without_3x3_convolutions_of_one_piece_is_none_of_ours() -> None:
    keys = [f"backbone.layer3.{block}.conv3.weight" for block in range(23)]
    of_res2net = {key: torch.ones(1, 1, 1, 1) for key in (*keys, "backbone.layer1.0.convs.0.weight")}
    assert recognise_backbone(of_res2net) is None


@pytest.mark.parametrize(
    ("settings", "variant", "name"),
    [
        ({"cardinality": 32, "group_width": 4}, "x101-32x4d", "ResNeXt-101 32x4d"),
        ({"cardinality": 64, "group_width": 4}, "x101-64x4d", "ResNeXt-101 64x4d"),
        (
            {"deformable": DeformableStages(version="v1", levels=(5,))},
            "101-dconv",
            "ResNet-101 with deformable convolutions v1",
        ),
        (
            {"cardinality": 32, "group_width": 4, "deformable": DeformableStages(version="v2", num_groups=4)},
            "x101-32x4d-mdconv",
            "ResNeXt-101 32x4d with deformable convolutions v2",
        ),
    ],
)
def test_groups_and_deformable_convolutions_are_seen(
    settings: dict[str, Any], variant: str, name: str
) -> None:
    with torch.device("meta"):
        network = ResNet(depth=101, frozen_stages=0, **settings)
    backbone = recognise_backbone({f"backbone.{key}": x for key, x in network.state_dict().items()})
    assert backbone is not None
    assert (backbone.kind, backbone.variant, str(backbone)) == ("resnet", variant, name)
