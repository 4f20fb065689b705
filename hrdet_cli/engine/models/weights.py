"""Loading a backbone's public ImageNet weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hrdet_cli.errors import WeightsError

_NUM_KEYS_SHOWN = 5
_REMEDY = (
    "Public files are hrnetv2_w18_imagenet_pretrained.pth and its siblings "
    "(https://github.com/HRNet/HRNet-Image-Classification) and resnet50-0676ba61.pth and its siblings "
    "(https://download.pytorch.org/models/). To train from scratch: --set model.weights=null"
)


@dataclass(frozen=True, slots=True)
class WeightsReport:
    """What a weights file held.

    Attributes:
        matched: Tensors that were copied into the backbone.
        left_over: Keys in the file that the backbone has no place for, such as a classifier's.
    """

    matched: int
    left_over: tuple[str, ...]


def load_backbone_weights(backbone: nn.Module, path: Path) -> WeightsReport:
    """Copy a file's weights into a backbone; all of them fit, or nothing is changed.

    Args:
        backbone: Its ``state_dict`` says what is needed; old files may lack the norms' batch counters.
        path: A ``state_dict`` saved by torch, bare or under the key ``state_dict``. Keys may start with
            ``module.``, ``backbone.`` or both.

    Raises:
        WeightsError: The file cannot be read, holds something else, lacks a tensor or has another shape.
    """
    tensors = _read_tensors(path)
    wanted = backbone.state_dict()
    missing = [key for key in wanted if key not in tensors and not key.endswith(".num_batches_tracked")]
    if missing:
        raise WeightsError(
            f"backbone weights {path} do not fit: {len(missing)} of {len(wanted)} tensors are not in there: "
            f"{_first(missing)}. Check that model.backbone and the file are of the same kind. {_REMEDY}"
        )
    matched = {key: tensors[key] for key in wanted if key in tensors}
    differing = [
        f"{key} is {tuple(tensor.shape)}, needed {tuple(wanted[key].shape)}"
        for key, tensor in matched.items()
        if tensor.shape != wanted[key].shape
    ]
    if differing:
        raise WeightsError(
            f"backbone weights {path} do not fit: {len(differing)} tensors have another shape: "
            f"{_first(differing)}. Check that model.backbone and the file are of the same width. {_REMEDY}"
        )
    backbone.load_state_dict({**wanted, **matched})
    return WeightsReport(matched=len(matched), left_over=tuple(key for key in tensors if key not in wanted))


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by key, without prefixes; whatever else the file holds is not looked at."""
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"backbone weights {path}: there is no such file. {_REMEDY}") from error
    except Exception as error:  # a damaged file can raise almost anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise WeightsError(f"backbone weights {path} cannot be read: {reason}. {_REMEDY}") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if (
        not isinstance(content, Mapping)
        or not content
        or not all(isinstance(v, Tensor) for v in content.values())
    ):
        raise WeightsError(f"backbone weights {path} hold no state dict of tensors. {_REMEDY}")
    return {
        str(key).removeprefix("module.").removeprefix("backbone."): tensor for key, tensor in content.items()
    }


def _first(items: list[str]) -> str:
    shown = ", ".join(items[:_NUM_KEYS_SHOWN])
    return f"{shown} and {len(items) - _NUM_KEYS_SHOWN} more" if len(items) > _NUM_KEYS_SHOWN else shown
