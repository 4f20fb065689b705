"""Torchvision's operators as they are loaded, and what is said where they cannot be."""

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
import torch
import torchvision

from hrdet_cli.engine import torchvision_operators
from hrdet_cli.errors import HrdetError


def test_they_are_torchvisions() -> None:
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(50, 4, generator=generator).cumsum(dim=1)
    scores = torch.rand(50, generator=generator)
    kept = torchvision_operators.nms(boxes, scores, 0.5)
    assert torch.equal(kept, torchvision.ops.nms(boxes, scores, 0.5))
    assert 0 < len(kept) < 50
    features = torch.rand(1, 2, 9, 9, generator=generator, requires_grad=True)
    rois = torch.cat((torch.zeros(5, 1), boxes[:5] * 8), dim=1)
    wanted = torchvision.ops.roi_align(features, rois, 3, 0.5, 2, aligned=True)
    with torch.no_grad():
        pooled = torchvision_operators.roi_align(
            features, rois, scale=0.5, num_cells=3, sampling_ratio=2, aligned=True
        )
    assert torch.equal(pooled, wanted)
    gradient = torch.rand(wanted.shape, generator=generator)
    (expected,) = torch.autograd.grad(wanted, features, gradient)
    found = torchvision_operators.roi_align_backward(
        gradient, rois, features.shape, scale=0.5, sampling_ratio=2, aligned=True
    )
    assert torch.equal(found, expected)


def test_a_missing_a_broken_and_another_torchvision_are_told_apart(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def find_spec(name: str) -> ModuleSpec | None:
        return place

    monkeypatch.setattr(torchvision_operators, "find_spec", find_spec)
    place = None
    with pytest.raises(HrdetError, match=r"torchvision is not installed: install"):
        torchvision_operators._load()
    place = ModuleSpec("torchvision", None, origin=str(tmp_path / "__init__.py"))
    with pytest.raises(HrdetError, match=r"holds none of _C_stable"):
        torchvision_operators._load()
    (tmp_path / "_C.so").write_text("no library")
    with pytest.raises(HrdetError, match=r"_C\.so does not fit torch"):
        torchvision_operators._load()


def test_a_torchvision_for_another_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_operators, "_built_for_cuda", lambda: 11080)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    with pytest.raises(HrdetError, match=r"torchvision was built for CUDA 11 and torch for 13\.0: install"):
        torchvision_operators._load()
