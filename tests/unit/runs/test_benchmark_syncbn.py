from pathlib import Path
from typing import Any

import pytest
import torch

from hrdet_cli.engine.geometry import Size
from hrdet_cli.errors import OutputError, SpecError
from hrdet_cli.runs.benchmark_syncbn import SyncNormPlan, plan_comparison


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    set_gpus(monkeypatch, 0)


def set_gpus(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: number)


def plan(**changes: Any) -> SyncNormPlan:
    settings: dict[str, Any] = {
        "network": "hrnet-small",
        "device": "auto",
        "nums_processes": [],
        "sizes": ["mixed"],
        "back_ends": [],
        "num_steps": 1,
        "out": None,
    }
    return plan_comparison(**(settings | changes))


def test_a_cpu_gets_two_processes_and_the_back_ends_that_run_there() -> None:
    planned = plan()
    assert planned.device_type == "cpu"
    assert planned.nums_processes == (2,)
    assert planned.back_ends == ("coalesced", "per-layer", "equal-count")


def test_several_gpus_get_a_process_each_and_torchs_back_end(monkeypatch: pytest.MonkeyPatch) -> None:
    set_gpus(monkeypatch, 4)
    planned = plan()
    assert planned.device_type == "cuda"
    assert planned.nums_processes == (4,)
    assert planned.back_ends == ("coalesced", "per-layer", "equal-count", "torch")


def test_a_single_gpu_is_left_alone_unless_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    set_gpus(monkeypatch, 1)
    assert plan().device_type == "cpu"
    assert plan(device="cuda").nums_processes == (1,)


def test_sizes_are_taken_in_turn() -> None:
    mixed = plan().sizes[0]
    assert mixed.of_processes(2) == (Size(96, 160), Size(160, 256))
    assert mixed.of_processes(4) == (Size(96, 160), Size(160, 256), Size(128, 224), Size(96, 160))
    given = plan(sizes=["64x96,128x64"]).sizes[0]
    assert (given.name, given.of_processes(3)) == ("given", (Size(96, 64), Size(64, 128), Size(96, 64)))


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        plan(
            network="vgg",
            device="tpu",
            sizes=["odd", "64x96,100x32"],
            back_ends=["nccl", "torch"],
            out=Path("cosines.jpg"),
        )
    assert caught.value.problems == [
        "--network: there is no 'vgg'; choose from hrnet-w18, hrnet-w30, hrnet-w32, hrnet-w40, hrnet-w44, "
        "hrnet-w48, hrnet-w64, hrnet-small, resnet-50",
        "--device: 'tpu' is none of auto, cpu and cuda",
        "--sizes: 'odd' is neither one of equal, mixed nor sizes such as 256x160,160x96",
        "--sizes: 100x32 must have sides that are multiples of 32, and at least 64 pixels",
        "--back-end: there is no 'nccl'; choose from coalesced, per-layer, equal-count, torch, apex",
        "--back-end: 'torch' trains on CUDA only, and this run's device is cpu; set --back-end coalesced, "
        "which needs no other package and runs on every device",
        "--out: 'cosines.jpg' must end in .png",
    ]


def test_there_are_never_more_processes_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    set_gpus(monkeypatch, 2)
    with pytest.raises(SpecError) as caught:
        plan(nums_processes=[2, 4])
    assert caught.value.problems == [
        "--processes 4: each needs a GPU, and torch sees 2; start fewer, or set --device cpu"
    ]


def test_a_picture_that_cannot_be_written_is_said_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        plan(out=tmp_path / "file" / "cosines.png")
