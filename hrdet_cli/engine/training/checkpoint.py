"""Checkpoint files that survive a crash while they are written and are never believed when damaged.

A file is complete or absent: it is written beside its final place, flushed to the disk and renamed, and
the folder is flushed too. A file is checked before it is unpickled: torch stores a CRC-32 of every tensor but
does not look at it when loading, so one flipped bit would train on silently.
"""

import os
import pickle
import shutil
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from hrdet_cli.engine.weights.archive import refuse_damaged_archive
from hrdet_cli.engine.weights.checkpoint_format import CHECKPOINT_FORMAT, is_checkpoint, upgraded
from hrdet_cli.engine.weights.impossible_values import describe_impossible_values
from hrdet_cli.errors import OutputError, WeightsError

_PLAIN_TYPES = (type(None), bool, int, float, str, bytes)
_COPIED_BYTES = 2**22  # at once


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a checkpoint, or leave the one that is there.

    Args:
        path: The file; its folder must exist. One process writes to it.
        state: Tensors and plain types, in dicts, lists and tuples, so that the file can be loaded without
            running code. ``format`` is the file's own key.

    Raises:
        OutputError: The file could not be written, for example because the disk is full. An older
            checkpoint at ``path`` is untouched and no partial file is left.
        TypeError: A value in ``state`` is neither a tensor nor of a plain type; the message says where.
    """
    document = {**state, "format": CHECKPOINT_FORMAT}
    _refuse_objects(document, "state")
    with _whole_or_not_at_all(path) as file:
        torch.save(document, file)


def copy_checkpoint(source: Path, path: Path) -> None:
    """Write what a checkpoint holds into another file, in a fraction of the time of `save_checkpoint`.

    It is a copy and no link: one damaged file is not to damage the others.

    Args:
        source: A checkpoint that this process has just written.
        path: As of `save_checkpoint`.

    Raises:
        OutputError: As of `save_checkpoint`.
    """
    with _whole_or_not_at_all(path) as file, source.open("rb") as content:
        shutil.copyfileobj(content, file, _COPIED_BYTES)


@contextmanager
def _whole_or_not_at_all(path: Path) -> Iterator[IO[bytes]]:
    """A file to write into, which takes its place once it is on the disk."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _flush_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch's writer hides some OSErrors behind a RuntimeError
        reason = error if isinstance(error, OSError) else error.__context__ or error
        raise OutputError(
            f"{path}: the checkpoint could not be written ({reason}). Older checkpoints are kept. "
            "Make room or mend the folder, then continue with --resume."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint after checking that it is whole.

    Args:
        path: A file that `save_checkpoint` wrote.

    Returns:
        What was saved, with all tensors in host memory; what an older hrdet saved, as this one would have.

    Raises:
        WeightsError: The file is missing, damaged, not a checkpoint of this program, of a newer version, or
            holds objects that would run code when loaded (they are not run).
    """
    try:
        with path.open("rb") as file:
            refuse_damaged_archive(file)
            file.seek(0)
            document = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"{path}: there is no such checkpoint; check the path") from error
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"{path}: holds objects other than tensors and plain types, which could run code and were not "
            "loaded. Use a checkpoint that hrdet wrote."
        ) from error
    except Exception as error:  # a damaged file can fail in any way
        raise WeightsError(
            f"{path}: the checkpoint is damaged or is none ({error}). Use another checkpoint of the run."
        ) from error
    if not isinstance(document, dict) or not is_checkpoint(document):
        raise WeightsError(
            f"{path}: is a torch file but not a checkpoint of hrdet. Give files of other programs as "
            "model.weights, or make a checkpoint of them: hrdet weights convert FILE"
        )
    return upgraded(document, path)


def newest_valid(paths: Sequence[Path]) -> tuple[Path, dict[str, Any], list[str]]:
    """Load the newest checkpoint that is whole, and whose weights are numbers to work with.

    Args:
        paths: Checkpoints, the newest first. The order is the caller's: the times of files do not survive
            every copying.

    Returns:
        The file, its content, and for each newer file that was skipped the reason, to be told to the user.

    Raises:
        WeightsError: None can be loaded; the message gives each one's reason.
    """
    skipped: list[str] = []
    for path in paths:
        try:
            state = load_checkpoint(path)
            _refuse_impossible_values(path, state)
            return path, state, skipped
        except WeightsError as error:
            skipped.append(str(error))
    raise WeightsError(
        "\n".join(["no checkpoint can be loaded; start the run anew with --overwrite", *skipped])
    )


def _refuse_impossible_values(path: Path, state: Mapping[str, Any]) -> None:
    """The weights and their average must be finite, or the first loss would not be."""
    for key in ("model", "ema_model"):
        held = state.get(key)
        items = held.items() if isinstance(held, dict) else ()
        tensors = {str(name): value for name, value in items if isinstance(value, Tensor)}
        found = describe_impossible_values(tensors)
        if found is not None:
            raise WeightsError(f"{path}: {found} (in '{key}'). Nothing can be trained or found with them.")


def _refuse_objects(value: object, where: str) -> None:
    """Raise for what `load_checkpoint` would refuse; by exact type: numpy's float64 is a float."""
    if isinstance(value, dict) and type(value) in (dict, OrderedDict):
        for key, item in value.items():
            _refuse_objects(key, f"a key of {where}")
            _refuse_objects(item, f"{where}[{key!r}]")
    elif isinstance(value, list | tuple) and type(value) in (list, tuple):
        for index, item in enumerate(value):
            _refuse_objects(item, f"{where}[{index}]")
    elif not isinstance(value, Tensor) and type(value) not in _PLAIN_TYPES:
        raise TypeError(
            f"{where} is a {type(value).__name__}: a checkpoint holds tensors and plain types only"
        )


def _flush_folder(folder: Path) -> None:
    """Make a rename in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
