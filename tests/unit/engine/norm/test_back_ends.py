"""The packages called apex are re-made as folders, as they would lie among installed packages."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from hrdet_cli.engine.norm.back_ends import NormBackEnd, require_back_end
from hrdet_cli.engine.norm.convert import convert_norm
from hrdet_cli.errors import SpecError

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
Install = Callable[[dict[str, str]], Path]
REMEDY = "; set norm.back_end=coalesced, which needs no other package and runs on every device"

APEX_PARALLEL = """
from torch.nn.modules.batchnorm import _BatchNorm

class SyncBatchNorm(_BatchNorm):
    def _check_input_dim(self, input):
        pass
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Puts a package called apex on the path: text by file; returns its folder."""

    def write(text_by_file: dict[str, str]) -> Path:
        for name, text in text_by_file.items():
            file = tmp_path / "apex" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return tmp_path / "apex"

    _forget_apex()
    yield write
    _forget_apex()


def _forget_apex() -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "apex"]:
        del sys.modules[module]


def complaint(back_end: NormBackEnd, device: torch.device) -> str:
    with pytest.raises(SpecError) as caught:
        require_back_end(back_end, device)
    return str(caught.value)


@pytest.mark.parametrize("back_end", ["coalesced", "per-layer", "equal-count"])
@pytest.mark.parametrize("device", [CPU, CUDA])
def test_our_own_run_everywhere(back_end: NormBackEnd, device: torch.device) -> None:
    require_back_end(back_end, device)


@pytest.mark.parametrize("back_end", ["torch", "apex"])
def test_others_are_refused_off_cuda(back_end: NormBackEnd) -> None:
    assert complaint(back_end, CPU) == (
        f"norm.back_end: '{back_end}' trains on CUDA only, and this run's device is cpu{REMEDY}"
    )


def test_torchs_own_is_allowed_on_cuda() -> None:
    require_back_end("torch", CUDA)


def test_no_apex_at_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apex", None)  # as if it were not installed

    assert complaint("apex", CUDA) == (
        f"norm.back_end: 'apex' is NVIDIA's apex, which is not installed{REMEDY}"
    )


@pytest.mark.parametrize("text", ["", "from pyramid_of_the_web import Session"])
def test_the_web_toolkit_is_not_taken_for_it(install: Install, text: str) -> None:
    place = install({"__init__.py": text, "models.py": ""})

    assert complaint("apex", CUDA) == (
        f"norm.back_end: 'apex' is NVIDIA's apex, and {place} is another package of that name, "
        f"a toolkit for the web{REMEDY}"
    )


def test_an_apex_of_after_the_removal_is_recognised(install: Install) -> None:
    place = install({"__init__.py": "", "normalization/__init__.py": "", "optimizers/__init__.py": ""})

    assert complaint("apex", CUDA) == (
        f"norm.back_end: NVIDIA's apex in {place} has no apex.parallel, "
        f"which was removed from it in May 2025{REMEDY}"
    )


@pytest.mark.parametrize(
    ("parallel", "reason"),
    [
        ("import syncbn_kernels_of_apex", "No module named 'syncbn_kernels_of_apex'"),
        ("", "module 'apex.parallel' has no attribute 'SyncBatchNorm'"),
    ],
)
def test_an_apex_that_is_broken_is_quoted(install: Install, parallel: str, reason: str) -> None:
    place = install({"__init__.py": "", "optimizers/__init__.py": "", "parallel/__init__.py": parallel})

    assert complaint("apex", CUDA) == (
        f"norm.back_end: NVIDIA's apex in {place} gave no apex.parallel.SyncBatchNorm ({reason}){REMEDY}"
    )


def test_the_real_one_is_used_and_left_again(install: Install) -> None:
    install({"__init__.py": "", "optimizers/__init__.py": "", "parallel/__init__.py": APEX_PARALLEL})
    model = nn.Sequential(nn.BatchNorm2d(4, eps=1e-3, momentum=None))
    weight = model[0].weight

    require_back_end("apex", CUDA)
    report = convert_norm(model, kind="sync", back_end="apex")
    norm: Any = model[0]

    assert (type(norm).__module__, type(norm).__name__) == ("apex.parallel", "SyncBatchNorm")
    assert (norm.eps, norm.momentum, norm.weight is weight) == (1e-3, None, True)
    assert {tensor.device.type for tensor in norm.state_dict().values()} == {"cpu"}
    assert (report.back_end, report.num_converted) == ("apex", 1)
    convert_norm(model, kind="batch")
    assert type(model[0]) is nn.BatchNorm2d
