"""Files of safetensors, which need a package of their own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from hrdet_cli.engine.weights.checkpoint_format import CHECKPOINT_FORMAT
from hrdet_cli.errors import WeightsError
from hrdet_cli.extras import install_command

_EXPORTED_TEXTS = frozenset({"spec", "class_names", "category_ids"})
"""What `hrdet export` puts into the header of a safetensors file, and nobody else."""


def is_start_of_safetensors(start: bytes) -> bool:
    """Whether a JSON header stands behind its length; what is text there is JSON from the first byte."""
    length = start[:8]
    return start[8:9] == b"{" and (0 in length or not length.isascii())


def read_safetensors(path: Path, source: str) -> dict[str, Any]:
    """Tensors by name; of a file that `hrdet export` wrote, the entries of a checkpoint."""
    try:
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import load_file
    except ImportError as error:
        raise WeightsError(
            f"weights {source}: need safetensors; install it with: {install_command('safetensors')}"
        ) from error
    try:
        tensors = dict(load_file(path))
        with safe_open(path, "pt") as opened:
            header = opened.metadata() or {}
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        if "allocate memory" in str(error):
            raise MemoryError from error
        raise WeightsError(f"weights {source} are damaged: {error}. Fetch them again.") from error
    return _as_checkpoint(tensors, header, source) if header.keys() >= _EXPORTED_TEXTS else tensors


def _as_checkpoint(tensors: Mapping[str, Tensor], header: Mapping[str, str], source: str) -> dict[str, Any]:
    try:
        class_names, category_ids = json.loads(header["class_names"]), json.loads(header["category_ids"])
        trained = {
            entry: json.loads(header[name])
            for name, entry in (("step", "step"), ("epoch", "num_finished_epochs"))
            if name in header
        }
    except (ValueError, RecursionError) as error:
        raise WeightsError(
            f"weights {source}: class_names, category_ids, step or epoch in the header are no JSON; export "
            "them again."
        ) from error
    return {
        "format": CHECKPOINT_FORMAT,
        "spec": header["spec"],
        "class_names": class_names,
        "category_ids": category_ids,
        **trained,
        "model": tensors,
    }
