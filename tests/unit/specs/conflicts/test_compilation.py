import pytest

from hrdet_cli.errors import SpecError
from hrdet_cli.specs.loading import load_spec

PRESET = "hrnet-w18-mstrain-pad"


def problem(*settings: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(preset=PRESET, settings=[*settings])
    (only,) = caught.value.problems
    return only


def test_nothing_is_compiled_unless_the_spec_says_so() -> None:
    assert load_spec(preset=PRESET).spec.run.compile == "off"


@pytest.mark.parametrize("part", ["model", "step"])
@pytest.mark.parametrize("padding", ["{policy: fixed, canvas_pixels: [1600, 1024]}", "{policy: canvases}"])
def test_batches_on_a_few_canvases_can_be_compiled(part: str, padding: str) -> None:
    spec = load_spec(preset=PRESET, settings=[f"run.compile={part}", f"padding={padding}"]).spec
    assert spec.run.compile == part


@pytest.mark.parametrize("part", ["model", "step"])
@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        (
            "padding={policy: batch}",
            "makes a graph for each canvas, and with padding.policy=batch nearly every",
        ),
        ("model.activation_checkpointing=true", "does not go with model.activation_checkpointing"),
        ("model.activation_checkpointing=norms", "does not go with model.activation_checkpointing"),
        ("optimisation.accumulate_steps=2", "does not go with optimisation.accumulate_steps above 1"),
        ("norm={kind: sync, back_end: apex}", "does not go with norm.back_end=apex"),
        ("norm={kind: sync, back_end: torch}", "does not go with norm.back_end=torch"),
    ],
)
def test_what_cannot_be_compiled_is_named_with_a_remedy(part: str, setting: str, reason: str) -> None:
    message = problem(f"run.compile={part}", setting)
    assert message.startswith("--set run.compile") or "run.compile: " in message
    assert f"'{part}' {reason}" in message
    assert message.endswith("or run.compile=off")
    assert load_spec(preset=PRESET, settings=[setting]).spec.run.compile == "off"
