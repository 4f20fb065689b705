from collections.abc import Sequence

import pytest

from hrdet_cli.engine.data.transforms import Resizing
from hrdet_cli.runs.build.loaders import build_ways
from hrdet_cli.runs.build.steps import build_augmentation, build_resizing
from hrdet_cli.specs.loading import load_spec

OF_2019 = Resizing(pixel_filter="bilinear", box_corners="inclusive")
OF_MMDETECTION = Resizing(pixel_filter="opencv")
OF_TORCHVISION = Resizing(pixel_filter="bilinear", rounding="down")


@pytest.mark.parametrize(
    ("preset", "resizing"),
    [
        ("hrnet-w18", Resizing(pixel_filter="antialias", rounding="half-up", box_corners="exclusive")),
        ("hrnet-w18-randresizecrop", Resizing()),
        ("hrnet2019-w18", OF_2019),
        ("hrnet2019-r50-fpn", OF_2019),
        ("mmdet3-hrnet-w40", OF_MMDETECTION),
        ("mmdet3-r101-caffe-fpn", OF_MMDETECTION),
        ("torchvision-r50-fpn", OF_TORCHVISION),
    ],
)
def test_each_family_resizes_by_its_own_conventions_in_training_and_evaluation(
    preset: str, resizing: Resizing
) -> None:
    spec = load_spec(preset=preset).spec
    assert build_resizing(spec) == resizing
    assert [way.resizing for way in build_ways(spec)] == [resizing]
    trained = build_augmentation(spec.augmentation, build_resizing(spec))
    assert getattr(trained, "resizing", None) == resizing


@pytest.mark.parametrize(
    ("settings", "resizing"),
    [
        (["data.resize_filter=bilinear"], Resizing(pixel_filter="bilinear")),
        (["data.resize_filter=opencv"], Resizing(pixel_filter="opencv")),
        (["data.resize_rounding=down"], Resizing(rounding="down")),
        (["model.box_corners=inclusive"], Resizing(box_corners="inclusive")),
    ],
)
def test_each_convention_has_a_key_of_its_own(settings: Sequence[str], resizing: Resizing) -> None:
    assert build_resizing(load_spec(preset="hrnet-w18", settings=settings).spec) == resizing
