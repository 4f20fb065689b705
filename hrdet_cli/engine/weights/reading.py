"""One way to read weights, wherever they are and whoever wrote them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from hrdet_cli.activity import doing
from hrdet_cli.engine.weights.array_pickles import NUM_BYTES_NEEDED, is_start_of_arrays, read_arrays
from hrdet_cli.engine.weights.checkpoint_format import is_checkpoint, upgraded
from hrdet_cli.engine.weights.coco_classes import coco_class_names
from hrdet_cli.engine.weights.fetching.download import download
from hrdet_cli.engine.weights.fetching.hub import fetch_hub_file
from hrdet_cli.engine.weights.fetching.timm_weights import read_timm_weights
from hrdet_cli.engine.weights.names import (
    HUB,
    TIMM,
    TORCHVISION,
    URL_STARTS,
)
from hrdet_cli.engine.weights.plain_tensors import plain_dict, plain_tensors
from hrdet_cli.engine.weights.presence import refuse_absent_weights
from hrdet_cli.engine.weights.published.table import (
    find_published,
    is_in_table,
    same_files,
)
from hrdet_cli.engine.weights.safetensors_files import is_start_of_safetensors, read_safetensors
from hrdet_cli.engine.weights.state_dicts import find_state_dict
from hrdet_cli.engine.weights.torch_files import OLD_START, ZIP_START, read_torch_file
from hrdet_cli.errors import WeightsError
from hrdet_cli.wording import first_and_count, is_showable


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
    return is_of_torch or is_start_of_arrays(start) or is_start_of_safetensors(start)


def _read_file(source: str, path: Path) -> WeightsFile:
    try:
        with doing(f"reading {path.name}"):
            document = _read_document(path, source)
    except WeightsError as error:
        if path == Path(source):
            raise
        raise WeightsError(
            f"{error}\nThe file is {path}, which is read again until it is removed."
        ) from error
    except OSError as error:
        raise WeightsError(
            f"weights {source} cannot be read: {error.strerror}. Give a readable file."
        ) from error
    except MemoryError as error:
        raise WeightsError(
            f"weights {source} cannot be read: there is not enough memory for them. End other programs, or "
            "take a machine with more."
        ) from error
    content = plain_dict(document)
    meta = plain_dict(content.get("meta"))
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


def _read_document(path: Path, source: str) -> object:
    """Tell by the content what a file is."""
    refuse_absent_weights(source, path)
    with path.open("rb") as file:
        start = file.read(NUM_BYTES_NEEDED)
    if is_start_of_safetensors(start):
        return read_safetensors(path, source)
    if is_start_of_arrays(start):
        return read_arrays(path, source=source)
    return read_torch_file(path, source=source)


def _class_names(meta: dict[Any, Any]) -> tuple[str, ...] | None:
    """As mmdetection 3 (``dataset_meta``) and 2 (``CLASSES``) leave them."""
    dataset = plain_dict(meta.get("dataset_meta"))
    named = (dataset.get("classes"), dataset.get("CLASSES"), meta.get("CLASSES"))
    return next((names for value in named if (names := _names(value))), None)


def _names(value: object) -> tuple[str, ...] | None:
    """A list of names that a terminal can show; None for anything else."""
    if not isinstance(value, list | tuple) or not value:
        return None
    names = tuple(name for name in value if type(name) is str and is_showable(name))
    return names if len(names) == len(value) else None
