"""Files of tensors alone: plain torch, mmdetection's names, safetensors."""

import io
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hrdet_cli.engine.weights.naming.mmdetection import to_mmdetection


def state_dict_file(tensors: Mapping[str, Tensor]) -> bytes:
    """What ``torch.load(file, weights_only=True)`` reads as the detector's ``state_dict``."""
    return _saved(dict(tensors))


def mmdetection_file(tensors: Mapping[str, Tensor], class_names: Sequence[str]) -> bytes:
    """What mmdetection 3 reads as a checkpoint, with the class names where it looks for them."""
    return _saved(
        {
            "state_dict": to_mmdetection(tensors),
            "meta": {"dataset_meta": {"classes": tuple(class_names)}},
        }
    )


def safetensors_file(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """What safetensors reads; the package must be installed.

    Args:
        tensors: By our names.
        metadata: Texts to put into the file's header, by name.
    """
    from safetensors.torch import save

    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    content: bytes = save(contiguous, {"format": "pt", **metadata})
    return content


def _saved(document: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(document, buffer)
    return buffer.getvalue()
