import pytest

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.backbone import DeformableSpec, ResNetBackboneSpec
from hrdet_cli.specs.loading import load_spec


def backbone(*settings: str) -> ResNetBackboneSpec:
    spec = load_spec(
        preset="r50-fpn-syncbn", settings=[f"model.backbone.{setting}" for setting in settings]
    ).spec
    assert isinstance(spec.model.backbone, ResNetBackboneSpec)
    return spec.model.backbone


def problem_of(*settings: str) -> str:
    with pytest.raises(SpecError) as raised:
        backbone(*settings)
    (problem,) = raised.value.problems
    return problem


def test_a_resnet_has_one_group_of_64_channels() -> None:
    assert (backbone().cardinality, backbone().resolved_group_width) == (1, 64)
    assert backbone("cardinality=32", "group_width=4").resolved_group_width == 4


def test_groups_need_their_width() -> None:
    problem = problem_of("cardinality=32")
    assert "model.backbone.group_width: must be given where cardinality is 32; ResNeXts have 4" in problem


def test_titles_say_what_is_not_a_plain_resnet() -> None:
    assert backbone().title == "resnet 50"
    assert backbone("depth=101", "cardinality=32", "group_width=4").title == "resnext 101 32x4d"
    assert backbone("deformable.version=v2").title == "resnet 50, deformable v2"


def test_deformable_convolutions_are_in_all_stages_from_c3_on_unless_they_are_named() -> None:
    assert backbone("deformable.version=v1").deformable == DeformableSpec(version="v1", levels=(3, 4, 5))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (["deformable={}"], "model.backbone.deformable.version: is needed and no layer sets it"),
        (["deformable={version: v1, levels: [2]}"], "model.backbone.deformable.levels"),
        (["deformable={version: v1, levels: []}"], "model.backbone.deformable.levels"),
        (
            ["deformable={version: v1, levels: [4, 4]}"],
            "model.backbone.deformable.levels: names a level twice: [4, 4]",
        ),
        (
            ["deformable={version: v1, groups: 3}"],
            "model.backbone.deformable.groups: 3 does not divide the 128 channels of level 3; published",
        ),
        (
            ["cardinality=3", "group_width=7", "deformable={version: v1, levels: [4, 5], groups: 16}"],
            "model.backbone.deformable.groups: 16 does not divide the 84 channels of level 4; published",
        ),
    ],
)
def test_what_cannot_be_built_is_told(settings: list[str], told: str) -> None:
    assert told in problem_of(*settings)
