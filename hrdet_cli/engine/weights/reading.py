"""One way to read weights, wherever they are and whoever wrote them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hrdet_cli.activity import doing
from hrdet_cli.engine.weights.array_pickles import NUM_BYTES_NEEDED, is_start_of_arrays, read_arrays
from hrdet_cli.engine.weights.checkpoint_format import CHECKPOINT_FORMAT, is_checkpoint, upgraded
from hrdet_cli.engine.weights.coco_classes import coco_class_names
from hrdet_cli.engine.weights.fetching.download import download
from hrdet_cli.engine.weights.fetching.hub import fetch_hub_file
from hrdet_cli.engine.weights.fetching.timm_weights import read_timm_weights
from hrdet_cli.engine.weights.names import (
    HUB,
    TIMM,
    TORCHVISION,
    URL_STARTS,
    describe_unknown_scheme,
)
from hrdet_cli.engine.weights.pickles import STORAGES
from hrdet_cli.engine.weights.published.table import (
    find_published,
    how_to_get,
    is_in_table,
    published_as,
    same_files,
)
from hrdet_cli.engine.weights.state_dicts import find_state_dict
from hrdet_cli.engine.weights.torch_files import OLD_START, ZIP_START, read_torch_file
from hrdet_cli.errors import WeightsError
from hrdet_cli.extras import install_command
from hrdet_cli.file_kinds import why_no_file
from hrdet_cli.wording import first_and_count, is_showable

_EXPORTED_TEXTS = frozenset({"spec", "class_names", "category_ids"})
"""What `hrdet export` puts into the header of a safetensors file, and nobody else."""
_ENDINGS = (".pt", ".pth", ".safetensors", ".bin", ".pkl")
_DTYPES = frozenset(STORAGES.values())
_WRAPPERS = ("module.", "_orig_mod.", "model.", "ema_model.", "ema.", "detector.")
"""What data-parallel, compiling, averaging and training wrappers put in front of every key."""
_BACKBONES = (
    "Public files are hrnetv2_w18_imagenet_pretrained.pth and its siblings "
    "(https://github.com/HRNet/HRNet-Image-Classification) and resnet50-0676ba61.pth and its siblings "
    "(https://download.pytorch.org/models/)."
)
_DETECTORS = (
    "mmdetection's detectors are listed at "
    "https://github.com/open-mmlab/mmdetection/tree/main/configs/hrnet (and in the folders beside it)."
)
_WHAT_TO_GIVE = "Give a file of a network's tensors, as torch.save(model.state_dict(), FILE) writes it."


@dataclass(frozen=True, slots=True, eq=False)
class WeightsFile:
    """What a source of weights holds.

    Attributes:
        source: The path or name that was asked for.
        tensors: By key, without what wraps the network (``module.`` and the like). Of a checkpoint of hrdet
            the raw weights.
        class_names: Where the file, or whoever published it, says them.
        config_text: The configuration that mmdetection leaves in its files.
        checkpoint: All entries of a checkpoint of hrdet (``spec``, ``class_names``, ``model``, ...), or what
            the header of an exported safetensors file has of them; else None.
        state_dict_key: Where among the file's entries the tensors were; None where they are the file itself,
            and of checkpoints of hrdet.
        other_state_dicts: Where others are, which were not taken.
    """

    source: str
    tensors: Mapping[str, Tensor]
    class_names: tuple[str, ...] | None
    config_text: str | None
    checkpoint: Mapping[str, Any] | None
    state_dict_key: str | None = None
    other_state_dicts: tuple[str, ...] = ()

    def notices(self) -> Iterator[str]:
        """Which of several state dicts was taken."""
        if self.other_state_dicts:
            yield (
                f"weights {self.source}: taken is {self.state_dict_key}, not "
                f"{first_and_count(self.other_state_dicts)}"
            )


def read_weights(source: str) -> WeightsFile:
    """Read weights; nothing that is in them is run.

    Args:
        source: A file, a name of the table of published weights (``mmdet:NAME`` and so on), ``timm:NAME``,
            ``hf:OWNER/NAME``, or an ``https://`` or ``http://`` address.

    Raises:
        WeightsError: They cannot be had, cannot be read, or hold more than tensors and known plain objects.
    """
    if source.startswith(TIMM):
        tensors = read_timm_weights(source.removeprefix(TIMM))
        return WeightsFile(source, plain_tensors(tensors, source), None, None, None)
    if is_in_table(source):
        return _read_published(source)
    if source.startswith(HUB):
        return _read_file(source, fetch_hub_file(source))
    if source.startswith(URL_STARTS):
        addresses = [source, *same_files(source)]
        return _read_file(source, download(source, addresses, accepts=_is_start_of_weights))
    return _read_file(source, Path(source))


def _read_published(source: str) -> WeightsFile:
    published = find_published(source)
    file = _read_file(source, download(source, published.addresses, accepts=_is_start_of_weights))
    if source.startswith(TORCHVISION) and published.is_detector:
        return replace(file, class_names=coco_class_names(90))
    return file


def _is_start_of_weights(start: bytes) -> bool:
    is_of_torch = start.startswith((ZIP_START, OLD_START))
    return is_of_torch or is_start_of_arrays(start) or _is_start_of_safetensors(start)


def _is_start_of_safetensors(start: bytes) -> bool:
    """Whether a JSON header stands behind its length; what is text there is JSON from the first byte."""
    length = start[:8]
    return start[8:9] == b"{" and (0 in length or not length.isascii())


def _read_file(source: str, path: Path) -> WeightsFile:
    try:
        with doing(f"reading {path.name}"):
            document = _read_document(path, source)
    except FileNotFoundError as error:
        raise WeightsError(f"weights {source}: {_describe_absent(source)}") from error
    except OSError as error:
        raise WeightsError(
            f"weights {source} cannot be read: {error.strerror}. Give a readable file."
        ) from error
    except MemoryError as error:
        raise WeightsError(
            f"weights {source} cannot be read: there is not enough memory for them. End other programs, or "
            "take a machine with more."
        ) from error
    content = _plain_dict(document)
    meta = _plain_dict(content.get("meta"))
    checkpoint = upgraded(content, source) if is_checkpoint(content) else None
    content = content if checkpoint is None else checkpoint
    found = None if checkpoint else find_state_dict(content, source=source)
    return WeightsFile(
        source=source,
        tensors=plain_tensors(content.get("model") if found is None else found.content, source),
        class_names=_names(content.get("class_names")) if checkpoint else _class_names(meta),
        config_text=next((meta[key] for key in ("cfg", "config") if type(meta.get(key)) is str), None),
        checkpoint=checkpoint,
        state_dict_key=None if found is None else found.key,
        other_state_dicts=() if found is None else found.others,
    )


def _describe_absent(source: str) -> str:
    """What is wrong with a path that leads nowhere, and where files of its name come from."""
    if (unknown := describe_unknown_scheme(source)) is not None:
        return unknown
    if (published := published_as(source)) is not None:
        return f"there is no such file. {how_to_get(published, source)}"
    is_detector = Path(source).name.startswith("faster_rcnn")
    return f"there is no such file. {_DETECTORS if is_detector else _BACKBONES}"


def _read_document(path: Path, source: str) -> object:
    """Tell by the content what a file is."""
    reason = why_no_file(path)
    if path.is_dir():
        raise WeightsError(f"weights {source}: is a folder. Give a file of weights{_weights_in(path)}.")
    if reason is not None and (path.exists() or path.is_symlink()):
        raise WeightsError(f"weights {source}: {reason}. Give a readable file.")
    with path.open("rb") as file:
        start = file.read(NUM_BYTES_NEEDED)
    if _is_start_of_safetensors(start):
        return _read_safetensors(path, source)
    if is_start_of_arrays(start):
        return read_arrays(path, source=source)
    return read_torch_file(path, source=source)


def _weights_in(folder: Path) -> str:
    """Files of weights in a folder, or in a run's folder of checkpoints, as an example."""
    files = sorted(
        file
        for inner in (folder / "checkpoints", folder)
        if inner.is_dir()
        for file in inner.iterdir()
        if file.suffix in _ENDINGS
    )
    return f", such as {files[0]}" if files else ""


def _read_safetensors(path: Path, source: str) -> dict[str, Any]:
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


def _plain_dict(value: object) -> dict[Any, Any]:
    """A dictionary, or an empty one for all else."""
    return value if isinstance(value, dict) else {}


def plain_tensors(value: object, source: str) -> dict[str, Tensor]:
    """A state dict's tensors as nothing but memory and shape, under their bare names.

    Args:
        value: What a file has in the place of a state dict.
        source: What to call the file in messages.

    Raises:
        WeightsError: There are none, or something else is among them.
    """
    state = {key: value for key, value in _plain_dict(value).items() if key != "n_averaged"}  # of averages
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
    if type(value) not in (Tensor, nn.Parameter):
        return False
    tensor: Tensor = value  # type: ignore[assignment]
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def _unwrap(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take off what all keys start with, and mmcv's averaged copies, whose names have lost their dots."""
    kept = {key: tensor for key, tensor in tensors.items() if not _is_averaged_copy(key)}
    for wrapper in _WRAPPERS * 2:
        if all(key.startswith(wrapper) for key in kept):
            kept = {key.removeprefix(wrapper): tensor for key, tensor in kept.items()}
    return kept


def _is_averaged_copy(key: str) -> bool:
    return key.startswith("ema_") and "." not in key


def _class_names(meta: dict[Any, Any]) -> tuple[str, ...] | None:
    """As mmdetection 3 (``dataset_meta``) and 2 (``CLASSES``) leave them."""
    dataset = _plain_dict(meta.get("dataset_meta"))
    named = (dataset.get("classes"), dataset.get("CLASSES"), meta.get("CLASSES"))
    return next((names for value in named if (names := _names(value))), None)


def _names(value: object) -> tuple[str, ...] | None:
    """A list of names that a terminal can show; None for anything else."""
    if not isinstance(value, list | tuple) or not value:
        return None
    names = tuple(name for name in value if type(name) is str and is_showable(name))
    return names if len(names) == len(value) else None
