"""From spec to how a device computes."""

import os

import torch

from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.errors import SpecError
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.padding import BatchPaddingSpec
from hrdet_cli.specs.run import RunSpec

_FIRST_WITH_TF32 = (8, 0)
"""Compute capability of Ampere."""
_CUBLAS_DETERMINISTIC = ":4096:8"
"""Of the two that make cuBLAS deterministic, the one that costs no time, and 24 MiB."""


def build_numerics(run: RunSpec, device: torch.device, *, tries_algorithms: bool = False) -> Numerics:
    """How a run computes on a device; one without TF32 computes in float32 in its place.

    Args:
        run: Says in what.
        device: Where.
        tries_algorithms: Whether to look for the fastest algorithms, which pays where shapes come again.
    """
    if run.deterministic and device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", _CUBLAS_DETERMINISTIC)  # read at its first product
    return Numerics(
        autocast=_autocast_dtype(run, device),
        tf32=run.precision == "tf32" and _has_tf32(device),
        deterministic=run.deterministic,
        tries_algorithms=tries_algorithms,
    )


def build_training_numerics(spec: ExperimentSpec, device: torch.device) -> Numerics:
    """Those of a training run: where all batches lie on a few canvases, cuDNN tries its algorithms.

    Raises:
        SpecError: TF32 is asked for, and the device has none.
    """
    if spec.run.precision == "tf32" and not _has_tf32(device):
        raise SpecError(
            [
                f"run.precision: 'tf32' is a precision of NVIDIA's GPUs from compute capability 8.0 on, and "
                f"this run computes on {device}; set run.precision=float32, or go on with it on such a GPU"
            ]
        )
    return build_numerics(spec.run, device, tries_algorithms=not isinstance(spec.padding, BatchPaddingSpec))


def precision_name(run: RunSpec, device: torch.device) -> str:
    """What a run computes in, for the record."""
    return "float64" if run.precision == "float64" else build_numerics(run, device).name


def _autocast_dtype(run: RunSpec, device: torch.device) -> torch.dtype | None:
    """The reduced precision of the forward pass, or None for that of the weights."""
    if run.precision == "bfloat16":
        return torch.bfloat16
    if run.precision == "auto" and device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else None
    return None


def _has_tf32(device: torch.device) -> bool:
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= _FIRST_WITH_TF32
