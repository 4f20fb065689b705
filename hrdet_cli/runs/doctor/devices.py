"""Findings on GPUs, on the driver below them and on what carries messages between them."""

import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
import torch.distributed as dist

from hrdet_cli.engine import triton_kernels
from hrdet_cli.runs.doctor.finding import Finding, format_bytes

DRIVER_FILE = Path("/proc/driver/nvidia/version")


def examine_devices(environ: Mapping[str, str], *, driver_file: Path = DRIVER_FILE) -> list[Finding]:
    """A finding for each GPU that torch sees, or why it sees none; and the process group back ends.

    Args:
        environ: Environment variables, of which some hide GPUs and some steer NCCL and gloo.
        driver_file: Where NVIDIA's kernel module says its version.
    """
    driver = _driver_version(driver_file)
    num_gpus = 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            num_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
            findings = [_describe_gpu(index) for index in range(num_gpus)]
        except (RuntimeError, torch.cuda.DeferredCudaCallError) as error:
            remedy = "look at nvidia-smi: is another process holding the GPU, or does it need a reset?"
            findings = [Finding("device", f"GPU cannot be used: {_one_line(error)}", "problem", remedy)]
    if not findings:
        findings = [_explain_absence(environ, driver)]
    for warning in caught:
        remedy = "install a torch built for this GPU and driver: see pytorch.org/get-started"
        findings.append(Finding("CUDA warning", _one_line(warning.message), "problem", remedy))
    platform = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    if torch.version.hip:
        platform = f"ROCm {torch.version.hip}"
    findings.append(Finding("torch build", f"{platform}; driver {driver or 'none'}"))
    if num_gpus:
        findings.append(_examine_triton())
    return [*findings, *_examine_back_ends(environ, has_gpu=num_gpus > 0)]


def count_gpus() -> int:
    """GPUs that torch can use; what it warns of while it looks is a finding of ``examine_devices``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cuda.device_count() if torch.cuda.is_available() else 0


def describe_device(device: torch.device) -> str:
    """A device in a few words."""
    return torch.cuda.get_device_properties(device).name if device.type == "cuda" else "CPU"


def _describe_gpu(index: int) -> Finding:
    properties = torch.cuda.get_device_properties(index)
    # torch's own rule for bfloat16 that is not emulated; asking it would start a context on every GPU.
    has_bfloat16 = bool(torch.version.hip) or properties.major >= 8
    value = (
        f"{properties.name}, {format_bytes(properties.total_memory)}, "
        f"compute capability {properties.major}.{properties.minor}, "
        f"{'bfloat16' if has_bfloat16 else 'no bfloat16: trains in float32'}"
    )
    return Finding(f"GPU {index}", value)


def _examine_triton() -> Finding:
    if (reason := triton_kernels.why_not()) is None:
        return Finding("Triton", "builds kernels")
    remedy = (
        "install it for speed: RoIAlign and NMS use torchvision's kernels, which wait and take more memory"
    )
    return Finding("Triton", f"cannot build kernels: {reason}", "note", remedy)


def _explain_absence(environ: Mapping[str, str], driver: str | None) -> Finding:
    value = "no GPU: training runs on the CPU"
    hidden = environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None:
        remedy = f"CUDA_VISIBLE_DEVICES is '{hidden}'; unset it, unless GPUs are meant to be hidden"
        return Finding("device", value, "note", remedy)
    if driver is None:
        remedy = "fine for `--preset demo` and for tests; the other presets are made for GPUs"
        return Finding("device", value, "note", remedy)
    if torch.version.cuda is None:
        remedy = (
            f"this torch has no CUDA, but there is an NVIDIA driver ({driver}): install a CUDA build of torch"
        )
    else:
        remedy = (
            f"there is an NVIDIA driver ({driver}), but torch sees no GPU: does nvidia-smi list one? In a "
            f"container, was it started with --gpus all? CUDA {torch.version.cuda} may need a newer driver"
        )
    return Finding("device", value, "problem", remedy)


def _driver_version(file: Path) -> str | None:
    if not file.is_file():
        return None
    found = re.search(r"\b\d{3,}\.\d+(\.\d+)?\b", file.read_text("utf-8"))
    return found[0] if found else "of unknown version"


def _examine_back_ends(environ: Mapping[str, str], *, has_gpu: bool) -> list[Finding]:
    """gloo, and NCCL where there are GPUs, each with the variables that steer it."""
    reinstall = "install one of the torch wheels of pytorch.org"
    if not dist.is_available() or not dist.is_gloo_available():
        remedy = f"several processes cannot be used; {reinstall}"
        return [Finding("gloo", "not in this torch", "problem", remedy)]
    findings = [Finding("gloo", "available" + _settings(environ, "GLOO_"))]
    if has_gpu:
        if dist.is_nccl_available():
            version = ".".join(str(part) for part in torch.cuda.nccl.version())  # type: ignore[no-untyped-call]
            findings.append(Finding("NCCL", version + _settings(environ, "NCCL_")))
        else:
            remedy = f"several GPUs cannot be used; {reinstall}"
            findings.append(Finding("NCCL", "not in this torch", "problem", remedy))
    return findings


def _settings(environ: Mapping[str, str], prefix: str) -> str:
    """The variables of one back end that are set."""
    return "".join(f", {name}={environ[name]}" for name in sorted(environ) if name.startswith(prefix))


def _one_line(message: Exception | Warning | str) -> str:
    return " ".join(str(message).split())
