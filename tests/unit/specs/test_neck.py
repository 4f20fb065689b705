import pytest

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.loading import load_spec


def problem_of(preset: str, *settings: str) -> str:
    with pytest.raises(SpecError) as raised:
        load_spec(preset=preset, settings=[*settings])
    (problem,) = raised.value.problems
    return problem


@pytest.mark.parametrize(("name", "value"), [("interpolation", "nearest"), ("pooling", "max")])
def test_what_only_hrfpn_has_is_refused_for_fpn(name: str, value: str) -> None:
    problem = problem_of("r50-fpn-syncbn", f"model.neck.{name}={value}")
    assert f"model.neck.{name}: '{value}' is for HRFPN, the neck of model.backbone.kind=hrnet" in problem


@pytest.mark.parametrize(
    ("setting", "default"), [("coarse_from=neck", "'backbone'"), ("coarse_relu=true", "false")]
)
def test_what_only_fpn_has_is_refused_for_hrfpn_and_for_a_pyramid_without_it(
    setting: str, default: str
) -> None:
    name = setting.partition("=")[0]
    for preset, owner in (
        ("hrnet-w18", "FPN, the neck of model.backbone.kind=resnet"),
        ("r50-fpn-syncbn", "FPN with strides 8 to 128, not this kind of head"),
    ):
        problem = problem_of(preset, f"model.neck.{setting}")
        assert f"model.neck.{name}: " in problem
        assert f"is for {owner}; set model.neck.{name}={default}" in problem
