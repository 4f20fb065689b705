import os

import pytest
import torch

from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.build.numerics import build_numerics, build_training_numerics, precision_name
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.run import RunSpec

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(params=[(7, 5), (9, 0)], ids=["Turing", "Hopper"])
def capability(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """A GPU as torch would describe it."""
    has_it = request.param >= (8, 0)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: request.param)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: has_it)
    found: tuple[int, int] = request.param
    return found


def test_a_gpu_computes_in_bfloat16_if_it_can_and_in_tf32_only_where_it_is_asked_to(
    capability: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    is_modern = capability >= (8, 0)
    by_itself = Numerics(autocast=torch.bfloat16 if is_modern else None)
    assert build_numerics(RunSpec(), CUDA) == by_itself
    assert build_numerics(RunSpec(precision="float32"), CUDA) == Numerics()
    assert build_numerics(RunSpec(precision="tf32"), CUDA) == Numerics(tf32=is_modern)


def test_a_cpu_computes_in_float32_and_has_no_tf32() -> None:
    assert build_numerics(RunSpec(), CPU) == Numerics()
    assert build_numerics(RunSpec(precision="bfloat16"), CPU) == Numerics(autocast=torch.bfloat16)
    assert build_numerics(RunSpec(precision="tf32"), CPU) == Numerics()  # evaluates what a GPU trained
    trained_in_tf32 = load_spec(preset="demo", settings=["run.precision=tf32"]).spec
    with pytest.raises(SpecError, match=r"this run computes on cpu; set run\.precision=float32"):
        build_training_numerics(trained_in_tf32, CPU)
    assert precision_name(RunSpec(precision="float64"), CPU) == "float64"


def test_cublas_is_told_before_its_first_product_that_it_must_be_deterministic(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "to be removed afterwards")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    for device, wanted in ((CPU, None), (CUDA, ":4096:8")):
        run = RunSpec(precision="float32", deterministic=True)
        assert build_numerics(run, device).deterministic
        assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == wanted


@pytest.mark.parametrize(
    ("padding", "tries"),
    [
        ("{policy: fixed, canvas_pixels: [320, 256]}", True),
        ("{policy: canvases}", True),
        ("{policy: batch}", False),
    ],
)
def test_algorithms_are_tried_where_shapes_come_again(padding: str, tries: bool) -> None:
    spec = load_spec(preset="demo", settings=[f"padding={padding}"]).spec
    assert build_training_numerics(spec, CPU).tries_algorithms is tries
    assert not build_numerics(spec.run, CPU).tries_algorithms
