import operator
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from hrdet_cli.engine.numerics import Numerics, run_exactly, without_autocast
from hrdet_cli.errors import SpecError

BACKENDS: Any = torch.backends
CUBLAS_MESSAGE = (
    "Deterministic behavior was enabled with either `torch.use_deterministic_algorithms(True)` or "
    "`at::Context::setDeterministicAlgorithms(true)`, but this operation is not deterministic because it "
    "uses CuBLAS and you have CUDA >= 10.2. To enable deterministic behavior in this case, you must set an "
    "environment variable before running your PyTorch application: CUBLAS_WORKSPACE_CONFIG=:4096:8"
)


def settings() -> tuple[bool, ...]:
    return (
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
    )


@pytest.mark.parametrize(
    ("numerics", "wanted"),
    [
        (Numerics(), (False, False, False, False, False, True)),
        (Numerics(tf32=True), (True, True, False, False, False, True)),
        (Numerics(tries_algorithms=True), (False, False, True, False, False, True)),
        (Numerics(tries_algorithms=True, deterministic=True), (False, False, False, True, False, False)),
    ],
)
def test_settings_of_the_process_are_set_and_put_back(numerics: Numerics, wanted: tuple[bool, ...]) -> None:
    before = settings()
    with numerics.applied():
        assert settings() == wanted
        with Numerics(tf32=True).applied():
            assert settings()[:2] == (True, True)
        assert settings() == wanted
    assert settings() == before
    with pytest.raises(ZeroDivisionError), numerics.applied():
        _ = 1 / 0
    assert settings() == before


def float32_is() -> tuple[str, str]:
    """Of products and of convolutions, as torch has it last of all."""
    return BACKENDS.cuda.matmul.fp32_precision, BACKENDS.cudnn.conv.fp32_precision


@pytest.fixture
def default_float32() -> Iterator[None]:
    yield
    BACKENDS.fp32_precision = BACKENDS.cuda.matmul.fp32_precision = "none"
    BACKENDS.cuda.matmul.allow_tf32, BACKENDS.cudnn.allow_tf32 = False, True


@pytest.mark.usefixtures("default_float32")
@pytest.mark.parametrize("place", ["backends", "backends.cuda.matmul", "backends.cudnn.conv"])
@pytest.mark.parametrize("told", ["tf32", "ieee"])
def test_float32_is_what_is_asked_for_whatever_torch_was_told_elsewhere(place: str, told: str) -> None:
    operator.attrgetter(place)(torch).fp32_precision = told
    before = float32_is()
    for numerics, wanted in ((Numerics(), "ieee"), (Numerics(tf32=True), "tf32")):
        with numerics.applied():
            assert float32_is() == (wanted, wanted)
            assert settings()[:2] == (numerics.tf32, numerics.tf32)
        assert float32_is() == before


@pytest.mark.parametrize(
    ("numerics", "name"),
    [
        (Numerics(), "float32"),
        (Numerics(tf32=True), "tf32"),
        (Numerics(autocast=torch.bfloat16), "bfloat16"),
    ],
)
def test_a_precision_is_called_what_the_spec_calls_it(numerics: Numerics, name: str) -> None:
    assert numerics.name == name


def test_only_refusals_of_what_was_asked_for_are_errors_of_the_spec() -> None:
    refusal = "roi_align_backward_kernel does not have a deterministic implementation, but you set ..."
    with (
        pytest.raises(SpecError, match="roi_align_backward_kernel has no"),
        Numerics(deterministic=True).applied(),
    ):
        raise RuntimeError(refusal)
    with (
        pytest.raises(SpecError, match="set CUBLAS_WORKSPACE_CONFIG=:4096:8"),
        Numerics(deterministic=True).applied(),
    ):
        raise RuntimeError(CUBLAS_MESSAGE)
    for numerics, message in ((Numerics(), refusal), (Numerics(deterministic=True), "CUDA out of memory")):
        with pytest.raises(RuntimeError, match=message), numerics.applied():
            raise RuntimeError(message)


def test_a_layer_that_runs_exactly_has_the_results_of_its_weights_dtype_and_their_gradients() -> None:
    torch.manual_seed(0)
    layer, values = nn.Linear(16, 4), torch.randn(8, 16, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(values).dtype == torch.bfloat16
        exactly = run_exactly(layer, values)
        with without_autocast("cpu"):
            assert not torch.is_autocast_enabled("cpu")
        assert torch.is_autocast_enabled("cpu")
    wanted = layer(values.float())
    assert torch.equal(exactly, wanted)
    gradients = [torch.autograd.grad(result.sum(), layer.weight)[0] for result in (exactly, wanted)]
    assert torch.equal(*gradients)


def test_without_autocast_there_is_nothing_to_leave() -> None:
    layer, values = nn.Linear(16, 4), torch.randn(8, 16)
    assert torch.equal(run_exactly(layer, values), layer(values))
