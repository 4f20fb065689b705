"""Whether this machine can build Triton's kernels, which GPUs compute RoIAlign and NMS with.

Triton compiles a helper in C when a process launches its first kernel, for which it needs a C compiler and
Python's headers. Images made to run torch often have neither. There torchvision's kernels are used, which
wait for the GPU and take more memory; whoever starts the work says so (``hrdet_cli.runs.device``).
"""

import subprocess
from functools import cache


def are_used() -> bool:
    """Whether work on a GPU uses Triton's kernels."""
    return why_not() is None


# What torch.compiler.assume_constant_result does, without importing the compiler, which takes seconds.
are_used._dynamo_marked_constant = True  # type: ignore[attr-defined]


@cache
def why_not() -> str | None:
    """Why Triton cannot build kernels here, and what to install; None where it can. Tried once a process."""
    try:
        _build()
    except Exception as error:  # whatever a compiler, a linker or a driver has to say
        return _describe(error)
    return None


def _build() -> None:
    """Compile and load what Triton needs for its first kernel."""
    from triton.runtime import driver

    _ = driver.active.utils


def _describe(error: Exception) -> str:
    if isinstance(error, ImportError):
        return "Triton is not installed; pip install triton"
    if isinstance(error, subprocess.CalledProcessError):
        return "its C compiler fails; are Python's headers there? apt-get install python3-dev"
    text = " ".join(str(error).split())
    if "C compiler" in text or isinstance(error, FileNotFoundError):
        return "there is no C compiler; apt-get install gcc python3-dev, or set CC"
    return f"{type(error).__name__}: {text}"
