"""What of a file's content is weights: tensors that are nothing but memory and shape, under bare names."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hrdet_cli.engine.weights.pickles import STORAGES
from hrdet_cli.errors import WeightsError

_DTYPES = frozenset(STORAGES.values())
_WRAPPERS = ("module.", "_orig_mod.", "model.", "ema_model.", "ema.", "detector.")
"""What data-parallel, compiling, averaging and training wrappers put in front of every key."""
_WHAT_TO_GIVE = "Give a file of a network's tensors, as torch.save(model.state_dict(), FILE) writes it."


def plain_tensors(value: object, source: str) -> dict[str, Tensor]:
    """A state dict's tensors as nothing but memory and shape, under their bare names.

    Args:
        value: What a file has in the place of a state dict.
        source: What to call the file in messages.

    Raises:
        WeightsError: There are none, or something else is among them.
    """
    state = {key: value for key, value in plain_dict(value).items() if key != "n_averaged"}  # of averages
    for key, tensor in state.items():
        if type(key) is not str or not key.isprintable() or not _is_plain_tensor(tensor):
            what = (
                f"{key!r:.80} is no plain tensor"
                if type(key) is str
                else f"a key is of type {type(key).__name__}"
            )
            raise WeightsError(f"weights {source} hold no state dict of tensors: {what}. {_WHAT_TO_GIVE}")
        if tensor.dtype not in _DTYPES:
            dtype = str(tensor.dtype).removeprefix("torch.")
            raise WeightsError(
                f"weights {source}: {key} is of dtype {dtype}, which hrdet does not read; make it float32, "
                "or another that weights are trained in."
            )
    if not state:
        raise WeightsError(f"weights {source} hold no state dict of tensors. {_WHAT_TO_GIVE}")
    return _unwrap({key: value.detach() for key, value in state.items()})


def _is_plain_tensor(value: object) -> bool:
    """Whether it is a tensor in host memory that has as many elements as its shape says."""
    if not isinstance(value, Tensor) or type(value) not in (Tensor, nn.Parameter):
        return False
    if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
        return False
    return value.numel() * value.element_size() <= value.untyped_storage().nbytes()


def _unwrap(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take off what all keys start with, and mmcv's averaged copies, whose names have lost their dots."""
    kept = {key: tensor for key, tensor in tensors.items() if not _is_averaged_copy(key)}
    for wrapper in _WRAPPERS * 2:
        if all(key.startswith(wrapper) for key in kept):
            kept = {key.removeprefix(wrapper): tensor for key, tensor in kept.items()}
    return kept


def _is_averaged_copy(key: str) -> bool:
    return key.startswith("ema_") and "." not in key


def plain_dict(value: object) -> dict[Any, Any]:
    """A dictionary, or an empty one for all else."""
    return value if isinstance(value, dict) else {}
