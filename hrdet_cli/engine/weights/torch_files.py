"""Files of ``torch.save``, read without running anything that is in them.

What a file holds is told by its pickle, which `read_pickle` interprets; the tensors' memory lies beside it in
a zip archive, or behind it in files from before torch 1.6. Files with more than tensors, plain types and
objects of a known few libraries are refused.
"""

import pickle
import re
import struct
import zipfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import IO

import torch

from hrdet_cli.engine.weights.archive import refuse_damaged_archive
from hrdet_cli.engine.weights.pickles import Storage, read_pickle
from hrdet_cli.errors import WeightsError
from hrdet_cli.file_kinds import NUM_BYTES_NEEDED, kind_of_file
from hrdet_cli.wording import first_few

ZIP_START = b"PK\x03\x04"
_MAGIC = 0x1950A86A20F9469CFC6C
OLD_START = pickle.dumps(_MAGIC, protocol=2)
"""torch's magic number, at the start of files from before version 1.6."""
_OLD_VERSION = 1001
_NO_TEXT = re.compile(rb"[^\t\n\r -~\x80-\xff]")


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
        MemoryError: It is larger than what is free.
        OSError: It cannot be opened.
    """
    with path.open("rb") as file:
        try:
            start = file.read(len(OLD_START))
            file.seek(0)
            if start.startswith(ZIP_START):
                content, unknown = _read_archive(file)
            elif start == OLD_START:
                content, unknown = _read_old(file.read())
            else:
                file.seek(0)
                raise no_weights(source, file.read(NUM_BYTES_NEEDED))
        except (WeightsError, MemoryError):
            raise
        except _OtherArchiveError as error:
            raise WeightsError(
                f"weights {source} {error} Give a file of torch.save or of safetensors."
            ) from None
        except zipfile.BadZipFile as error:
            raise WeightsError(f"weights {source} are damaged: {error}. Fetch them again.") from error
        except pickle.UnpicklingError as error:
            raise refusal(source, str(error)) from error
        except Exception as error:  # a damaged file can raise almost anything
            raise no_weights(source) from error
    if unknown:
        raise refusal(source, *unknown)
    return content


def _read_archive(file: IO[bytes]) -> tuple[object, list[str]]:
    """Read today's format: a pickle, and a member for the memory of each key."""
    with zipfile.ZipFile(file) as archive:
        _refuse_other_archives(archive.namelist())
    refuse_damaged_archive(file)
    with zipfile.ZipFile(file) as archive:
        (name,) = (name for name in archive.namelist() if re.fullmatch(r"[^/]+/data\.pkl", name))
        folder = name.partition("/")[0]
        if f"{folder}/byteorder" in archive.namelist() and archive.read(f"{folder}/byteorder") != b"little":
            raise zipfile.BadZipFile("its bytes are in an order that this machine does not have")
        contents: dict[str, torch.Tensor] = {}

        def storage_of(key: str, dtype: torch.dtype, num_elements: int) -> Storage:
            member = archive.getinfo(f"{folder}/data/{key}")
            if member.file_size != num_elements * dtype.itemsize:
                raise zipfile.BadZipFile(f"{member.filename!r} is not as long as its tensors")
            if key not in contents:
                contents[key] = _allocate(member.file_size)
                with archive.open(member) as memory:
                    _fill(contents[key], memory)
            return Storage(contents[key], dtype)

        return read_pickle(BytesIO(archive.read(name)), storage_of=storage_of)


def _refuse_other_archives(names: Sequence[str]) -> None:
    """An archive must be one that `torch.save` wrote.

    Raises:
        _OtherArchiveError: It is another; says which.
    """
    ends = {name.partition("/")[2] for name in names}
    if "constants.pkl" in ends:
        raise _OtherArchiveError(
            "are a TorchScript program. Save its tensors: "
            "torch.save(torch.jit.load(FILE).state_dict(), OTHER)."
        )
    if "data.pkl" in ends:
        return
    inner = [name for name in names if name.endswith((".pth", ".pt", ".bin", ".safetensors"))]
    if inner:
        raise _OtherArchiveError(f"are a ZIP archive with {first_few(inner)} in it. Unpack it.")
    if names and all(name.endswith(".npy") for name in names):
        raise _OtherArchiveError("are NumPy arrays (.npz). Save them as tensors.")
    raise _OtherArchiveError("are a ZIP archive that torch.save did not write.")


class _OtherArchiveError(Exception):
    """What an archive is, to go behind the name of the weights."""


def _read_old(written: bytes) -> tuple[object, list[str]]:
    """Read the older format: five pickles in a row, and the memory of each key in the order of the last."""
    file = BytesIO(written)  # which gives no more than it has, however long a text claims to be
    (magic, _), (version, _), (system, _) = read_pickle(file), read_pickle(file), read_pickle(file)
    is_known = magic == _MAGIC and version == _OLD_VERSION
    if not (is_known and isinstance(system, dict) and system.get("little_endian")):
        raise zipfile.BadZipFile("a version or an order of bytes that torch no longer writes")
    storages: dict[str, Storage] = {}

    def storage_of(key: str, dtype: torch.dtype, num_elements: int) -> Storage:
        if key not in storages:
            length = num_elements * dtype.itemsize
            if sum(len(storage.content) for storage in storages.values()) + length > len(written):
                raise zipfile.BadZipFile(f"its tensors claim more than the file's {len(written)} bytes")
            storages[key] = Storage(_allocate(length), dtype)
        storage = storages[key]
        if (storage.dtype, len(storage.content)) != (dtype, num_elements * dtype.itemsize):
            raise zipfile.BadZipFile("its tensors disagree about their memory")
        return storage

    content, unknown = read_pickle(file, storage_of=storage_of)
    if unknown:
        return content, unknown
    keys, _ = read_pickle(file)
    names = [key for key in keys if type(key) is str] if isinstance(keys, list) else []
    if keys != names or sorted(names) != sorted(storages):
        raise zipfile.BadZipFile("its tensors and their memory do not belong together")
    for key in names:
        storage = storages[key]
        (num_elements,) = struct.unpack("<q", file.read(8))
        if num_elements * storage.dtype.itemsize != len(storage.content):
            raise zipfile.BadZipFile("its tensors disagree about their memory")
        _fill(storage.content, file)
    return content, unknown


def _allocate(num_bytes: int) -> torch.Tensor:
    """Memory for that many bytes, ``(bytes,)`` uint8; to be filled."""
    try:
        return torch.empty(num_bytes, dtype=torch.uint8)
    except RuntimeError as error:
        raise MemoryError from error


def _fill(content: torch.Tensor, file: IO[bytes]) -> None:
    if file.readinto(content.numpy()) != len(content):  # type: ignore[attr-defined]
        raise zipfile.BadZipFile("it ends too early")


def no_weights(source: str, start: bytes | None = None) -> WeightsError:
    """The error of a file that is none of weights.

    Args:
        source: What to call it.
        start: Its first bytes, where they may tell what else it is.
    """
    what = "are damaged, or are no weights at all." if start is None else _what_else(start)
    return WeightsError(f"weights {source} {what} Give a file of torch.save or of safetensors.")


def _what_else(start: bytes) -> str:
    """What a file is, with a remedy, to go behind its name."""
    kind = kind_of_file(start)
    if kind is not None:
        return " ".join([f"are {kind.name}.", *([kind.remedy] if kind.remedy else [])])
    if not _NO_TEXT.search(start):
        is_json = start.lstrip().startswith((b"{", b"["))
        return f"are no weights but {'JSON' if is_json else 'a text, such as a configuration'}."
    return "are damaged, or are no weights at all."


def refusal(source: str, *what: str) -> WeightsError:
    """The error of a file that holds more than tensors.

    Args:
        source: What to call it.
        what: What it holds.
    """
    shown = first_few([name if name.isprintable() else ascii(name) for name in what])
    return WeightsError(
        f"weights {source} hold objects other than tensors and plain types ({shown}), "
        "which could run code and were not loaded. If you trust the file, save its tensors alone in the "
        'program that trained it: torch.save(model.state_dict(), "weights.pth")'
    )
