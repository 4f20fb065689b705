"""Files of ``torch.save``, read without running anything that is in them.

torch's own restricted unpickler reads tensors and plain types. mmdetection's files also hold objects of their
libraries: histories of losses, numpy numbers, configurations. Where these are of a known few, the restricted
unpickler gets an inert class in the place of each; the names in the file are never looked up, so nothing of
those libraries is imported or called. Files with anything else are refused.
"""

import pickle
import re
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any, Self

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from hrdet_cli.engine.weights.archive import refuse_damaged_archive
from hrdet_cli.errors import WeightsError

_ZIP_START = b"PK\x03\x04"
_OLD_START = pickle.dumps(0x1950A86A20F9469CFC6C, protocol=2)
"""torch's magic number, at the start of files from before version 1.6."""
_INERT_PACKAGES = ("addict", "argparse", "datetime", "mmcv", "mmdet", "mmengine", "numpy", "pathlib")
_INERT_NAMES = (
    "builtins.getattr",  # mmengine's histories name their methods by it
    *("builtins.dict", "builtins.float", "builtins.int", "builtins.list"),  # what a defaultdict makes
)
_INERT_MAPPINGS = (
    "addict.addict.Dict",
    "collections.defaultdict",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
)
"""Those that are pickled as dictionaries are."""
_NUM_SHOWN = 5


class InertStandIn:
    """Takes the place of any class or function of a file: can be called and filled, and does nothing."""

    def __new__(cls, *_arguments: object, **_keywords: object) -> Self:
        """Make an empty object, whatever it is called with."""
        return super().__new__(cls)

    def __init__(self, *_arguments: object, **_keywords: object) -> None:
        """Forget the arguments."""

    def __setstate__(self, _state: object) -> None:
        """Forget the state."""


class InertMapping:
    """Takes the place of classes that are dictionaries: gives an empty one, to be filled."""

    def __new__(cls, *_arguments: object) -> Any:
        """Make a dictionary of a kind that the unpickler fills."""
        return OrderedDict()


def read_torch_file(path: Path, *, source: str) -> object:
    """Read what ``torch.save`` wrote, in its format of today or that before torch 1.6.

    Args:
        path: The file.
        source: What to call it in messages.

    Returns:
        Tensors in host memory and plain types, in dicts, lists and tuples; stand-ins where the file has
        objects of known libraries.

    Raises:
        WeightsError: The file is damaged, is none of torch's, or holds objects of other kinds.
        OSError: It cannot be opened.
    """
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of old formats; what counts is whether they can be read
        try:
            start = file.read(len(_OLD_START))
            is_archive = start.startswith(_ZIP_START)
            if is_archive:
                refuse_damaged_archive(file)
            elif start != _OLD_START:
                raise _no_weights(source)
            with safe_globals(_stand_ins(file, source) if is_archive else []):
                file.seek(0)
                return torch.load(file, map_location="cpu", weights_only=True)
        except WeightsError:
            raise
        except zipfile.BadZipFile as error:
            raise WeightsError(f"weights {source} are damaged: {error}. Fetch them again.") from error
        except pickle.UnpicklingError as error:
            raise _refusal(source, _named_in(error)) from error
        except Exception as error:  # a damaged file can raise almost anything
            raise _no_weights(source) from error


def _stand_ins(file: IO[bytes], source: str) -> list[Any]:
    """What the unpickler shall put for each name in a file.

    Raises:
        WeightsError: A name is not of those that are known.
    """
    file.seek(0)
    names = sorted(get_unsafe_globals_in_checkpoint(file))
    unknown = [name for name in names if not _is_known(name)]
    if unknown:
        raise _refusal(source, unknown)
    return [(InertMapping if name in _INERT_MAPPINGS else InertStandIn, name) for name in names]


def _is_known(name: str) -> bool:
    return name in (*_INERT_NAMES, *_INERT_MAPPINGS) or name.partition(".")[0] in _INERT_PACKAGES


def _named_in(error: pickle.UnpicklingError) -> list[str]:
    """What the restricted unpickler refused, where it says so."""
    return re.findall(r"GLOBAL (\S+)", str(error))[:1]


def _no_weights(source: str) -> WeightsError:
    return WeightsError(
        f"weights {source} are damaged, or are no weights at all. "
        "Give a file of torch.save or of safetensors."
    )


def _refusal(source: str, names: list[str]) -> WeightsError:
    shown = ", ".join(names[:_NUM_SHOWN]) + (", ..." if len(names) > _NUM_SHOWN else "")
    return WeightsError(
        f"weights {source} hold objects other than tensors and plain types{f' ({shown})' if names else ''}, "
        "which could run code and were not loaded. If you trust the file, save its tensors alone in the "
        'program that trained it: torch.save(model.state_dict(), "weights.pth")'
    )
