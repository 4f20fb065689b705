import subprocess
from collections.abc import Iterator

import pytest
import torch

from hrdet_cli.engine import triton_kernels
from hrdet_cli.runs.device import kernel_notices, kernels_of

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    triton_kernels.why_not.cache_clear()
    yield
    triton_kernels.why_not.cache_clear()


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ImportError("No module named 'triton'"), "Triton is not installed; pip install triton"),
        (
            RuntimeError("Failed to find C compiler. Please specify via CC environment variable"),
            "there is no C compiler; apt-get install gcc python3-dev, or set CC",
        ),
        (
            FileNotFoundError("[Errno 2] No such file or directory: 'my-cc'"),
            "there is no C compiler; apt-get install gcc python3-dev, or set CC",
        ),
        (
            subprocess.CalledProcessError(1, ["gcc"]),
            "its C compiler fails; are Python's headers there? apt-get install python3-dev",
        ),
        (RuntimeError("0 active drivers\n([])"), "RuntimeError: 0 active drivers ([])"),
    ],
)
def test_where_kernels_cannot_be_built_torchvisions_are_used_and_this_is_said_once(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    tried: list[int] = []

    def fail() -> None:
        tried.append(1)
        raise error

    monkeypatch.setattr(triton_kernels, "_build", fail)
    assert not triton_kernels.are_used()
    (notice,) = kernel_notices(CUDA)
    assert notice.startswith(
        f"Triton cannot build kernels here: {reason}. RoIAlign and NMS use torchvision's"
    )
    assert kernels_of(CUDA) == "torchvision"
    assert tried == [1], "a process tries once"


def test_where_they_can_be_built_they_are_used_on_gpus_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_kernels, "_build", lambda: None)
    assert triton_kernels.are_used()
    assert kernel_notices(CUDA) == kernel_notices(CPU) == ()
    assert (kernels_of(CUDA), kernels_of(CPU)) == ("triton", "torchvision")
