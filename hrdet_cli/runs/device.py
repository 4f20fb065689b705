"""The device a run computes on."""

from typing import Literal

import torch

from hrdet_cli.engine import triton_kernels
from hrdet_cli.errors import SpecError
from hrdet_cli.specs.run import RunSpec


def select_device(run: RunSpec) -> torch.device:
    """The device a run computes on.

    Raises:
        SpecError: A GPU was asked for and there is none.
    """
    if run.device == "cuda" and not torch.cuda.is_available():
        raise SpecError(["run.device: 'cuda' was asked for, but torch sees no GPU; set run.device=auto"])
    if run.device == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", torch.cuda.current_device())


def kernels_of(device: torch.device) -> Literal["triton", "torchvision"]:
    """Whose kernels RoIAlign and NMS are computed with on a device."""
    return "triton" if device.type == "cuda" and triton_kernels.are_used() else "torchvision"


def kernel_notices(device: torch.device) -> tuple[str, ...]:
    """What the user should be told of a GPU's kernels, before they are first used."""
    if device.type != "cuda" or (reason := triton_kernels.why_not()) is None:
        return ()
    return (
        f"Triton cannot build kernels here: {reason}. RoIAlign and NMS use torchvision's, which wait for the "
        "GPU and take more memory",
    )
