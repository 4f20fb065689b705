"""The implementations of synchronised batch norm: our own with its rules, torch's, and apex's."""

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, cast

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from hrdet_cli.engine.norm.sync import SyncBackEnd, SyncBatchNorm2d
from hrdet_cli.errors import SpecError

NormBackEnd = Literal[SyncBackEnd, "torch", "apex"]

_REMEDY = "set norm.back_end=coalesced, which needs no other package and runs on every device"


def require_back_end(back_end: NormBackEnd, device: torch.device) -> None:
    """Check that a back end can train on a device, here and now.

    Raises:
        SpecError: It cannot, or its package is not to be had.
    """
    if back_end in ("torch", "apex") and device.type != "cuda":
        raise SpecError(
            [f"norm.back_end: '{back_end}' trains on CUDA only, and this run's device is {device}; {_REMEDY}"]
        )
    if back_end == "apex":
        _find_apex_class()


def build_sync_norm(back_end: NormBackEnd, *, like: _BatchNorm, epsilon: float) -> nn.Module:
    """A synchronised norm with the other settings of another batch norm and tensors of its own.

    Raises:
        SpecError: ``"apex"`` is asked for and not to be had.
    """
    if back_end in ("torch", "apex"):
        norm_class = nn.SyncBatchNorm if back_end == "torch" else _find_apex_class()
        return norm_class(like.num_features, epsilon, like.momentum, like.affine, like.track_running_stats)
    return SyncBatchNorm2d(
        like.num_features,
        back_end=cast("SyncBackEnd", back_end),
        eps=epsilon,
        momentum=like.momentum,
        affine=like.affine,
        track_running_stats=like.track_running_stats,
    )


def _find_apex_class() -> type[nn.Module]:
    """``apex.parallel.SyncBatchNorm``, which one of the packages that are called apex has."""
    try:
        return cast("type[nn.Module]", importlib.import_module("apex.parallel").SyncBatchNorm)
    except (ImportError, AttributeError) as error:
        raise SpecError([f"norm.back_end: {_why_apex_fails(error)}; {_REMEDY}"]) from error


def _why_apex_fails(error: Exception) -> str:
    """Tell the packages apart by their folders, because importing the wrong one may fail by itself."""
    package = find_spec("apex")
    if package is None:
        return "'apex' is NVIDIA's apex, which is not installed"
    folders = [Path(place) for place in package.submodule_search_locations or ()]
    place = folders[0] if folders else package.origin
    if not any((folder / part).is_dir() for folder in folders for part in ("normalization", "optimizers")):
        return f"'apex' is NVIDIA's apex, and {place} is another package of that name, a toolkit for the web"
    if not any((folder / "parallel").is_dir() for folder in folders):
        return f"NVIDIA's apex in {place} has no apex.parallel, which was removed from it in May 2025"
    return f"NVIDIA's apex in {place} gave no apex.parallel.SyncBatchNorm ({error})"
