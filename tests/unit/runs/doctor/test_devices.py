"""GPUs as torch would show them, and machines without; no test here needs one."""

import warnings
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from hrdet_cli.engine import triton_kernels
from hrdet_cli.runs.doctor.devices import examine_devices
from hrdet_cli.runs.doctor.finding import Finding

DRIVER_TEXT = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC\n"
)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def driver(tmp_path: Path) -> Path:
    file = tmp_path / "version"
    file.write_text(DRIVER_TEXT)
    return file


def show_gpus(monkeypatch: pytest.MonkeyPatch, *properties: SimpleNamespace) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(properties))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties[index])
    monkeypatch.setattr(torch.cuda.nccl, "version", lambda: (2, 27, 3))
    monkeypatch.setattr(triton_kernels, "why_not", lambda: None)


def named(findings: list[Finding], name: str) -> Finding:
    (found,) = [finding for finding in findings if finding.name == name]
    return found


V100 = SimpleNamespace(name="V100", total_memory=32 * 2**30, major=7, minor=0)
H100 = SimpleNamespace(name="H100", total_memory=80 * 2**30, major=9, minor=0)


@pytest.mark.usefixtures("no_gpu")
def test_a_machine_without_a_gpu_trains_on_its_cpu_and_has_no_nccl(tmp_path: Path) -> None:
    findings = examine_devices({"NCCL_DEBUG": "INFO"}, driver_file=tmp_path / "missing")
    device = named(findings, "device")
    assert (device.status, device.value) == ("note", "no GPU: training runs on the CPU")
    assert "NCCL" not in [finding.name for finding in findings]
    assert "driver none" in named(findings, "torch build").value


@pytest.mark.usefixtures("no_gpu")
def test_gpus_hidden_by_a_variable_are_a_note_that_names_it(driver: Path) -> None:
    device = named(examine_devices({"CUDA_VISIBLE_DEVICES": ""}, driver_file=driver), "device")
    assert device.status == "note"
    assert "CUDA_VISIBLE_DEVICES is ''" in str(device.remedy)


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize(
    ("cuda", "reason"), [(None, "this torch has no CUDA"), ("12.8", "CUDA 12.8 may need a newer driver")]
)
def test_a_driver_without_a_gpu_for_torch_is_a_problem(
    monkeypatch: pytest.MonkeyPatch, driver: Path, cuda: str | None, reason: str
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    device = named(examine_devices({}, driver_file=driver), "device")
    assert device.status == "problem"
    assert "NVIDIA driver (535.104.05)" in str(device.remedy)
    assert reason in str(device.remedy)


def test_each_gpu_has_a_line_and_nccl_its_version_and_settings(
    monkeypatch: pytest.MonkeyPatch, driver: Path
) -> None:
    show_gpus(monkeypatch, V100, H100)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: True)
    environ = {"NCCL_SOCKET_IFNAME": "eth1", "NCCL_DEBUG": "INFO", "NCCLX": "no", "HOME": "/root"}
    findings = examine_devices(environ, driver_file=driver)
    assert findings[0] == Finding(
        "GPU 0", "V100, 32 GiB, compute capability 7.0, no bfloat16: trains in float32"
    )
    assert findings[1] == Finding("GPU 1", "H100, 80 GiB, compute capability 9.0, bfloat16")
    assert named(findings, "NCCL") == Finding("NCCL", "2.27.3, NCCL_DEBUG=INFO, NCCL_SOCKET_IFNAME=eth1")


def test_gpus_whose_kernels_cannot_be_built_are_a_note(monkeypatch: pytest.MonkeyPatch, driver: Path) -> None:
    show_gpus(monkeypatch, H100)
    assert named(examine_devices({}, driver_file=driver), "Triton") == Finding("Triton", "builds kernels")
    monkeypatch.setattr(triton_kernels, "why_not", lambda: "there is no C compiler")
    finding = named(examine_devices({}, driver_file=driver), "Triton")
    assert (finding.status, finding.value) == ("note", "cannot build kernels: there is no C compiler")
    assert "torchvision's kernels" in str(finding.remedy)


def test_gpus_without_nccl_are_a_problem(monkeypatch: pytest.MonkeyPatch, driver: Path) -> None:
    show_gpus(monkeypatch, H100)
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: False)
    assert named(examine_devices({}, driver_file=driver), "NCCL").status == "problem"


def test_what_torch_warns_of_becomes_a_problem_and_does_not_reach_the_screen(
    monkeypatch: pytest.MonkeyPatch, driver: Path
) -> None:
    def warn_and_see_nothing() -> bool:
        warnings.warn("The NVIDIA driver on your system\n is too old", stacklevel=2)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", warn_and_see_nothing)
    finding = named(examine_devices({}, driver_file=driver), "CUDA warning")
    assert (finding.status, finding.value) == ("problem", "The NVIDIA driver on your system is too old")


def test_a_gpu_that_cannot_be_started_is_a_problem_and_no_crash(
    monkeypatch: pytest.MonkeyPatch, driver: Path
) -> None:
    def fail(_index: int) -> None:
        raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable")

    show_gpus(monkeypatch, H100)
    monkeypatch.setattr(torch.cuda, "get_device_properties", fail)
    device = named(examine_devices({}, driver_file=driver), "device")
    assert device.status == "problem"
    assert "devices are busy" in device.value
    assert "nvidia-smi" in str(device.remedy)
