"""Pickles of NumPy arrays, as the model zoos of detectron2 and Detectron have them.

They are interpreted like torch's: an array's shape, its type and its bytes are taken out of the pickle, and
nothing of NumPy's is called.
"""

import pickle
from io import BytesIO
from pathlib import Path

from hrdet_cli.engine.weights.pickles import read_pickle
from hrdet_cli.engine.weights.torch_files import OLD_START, no_weights, refusal

NUM_BYTES_NEEDED = len(OLD_START)
"""Of a file's start, to tell what it is."""
_PROTOCOLS = (2, 3, 4, 5)


def is_start_of_arrays(start: bytes) -> bool:
    """Whether a file starts as a pickle of a protocol with a number, but not as torch's older format."""
    has_protocol = start[:1] == pickle.PROTO and start[1:2] in map(_as_byte, _PROTOCOLS)
    return has_protocol and not start.startswith(OLD_START)


def read_arrays(path: Path, *, source: str) -> object:
    """Read a pickle of arrays.

    Args:
        path: The file.
        source: What to call it in messages.

    Returns:
        Tensors in host memory and plain types, in dicts, lists and tuples.

    Raises:
        WeightsError: The file is damaged, is no pickle, or holds objects of other kinds.
        MemoryError: It is larger than what is free.
        OSError: It cannot be opened.
    """
    written = path.read_bytes()
    try:
        # Gives no more than it has, however long a text claims to be.
        content, unknown = read_pickle(BytesIO(written), has_arrays=True)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        raise refusal(source, str(error)) from error
    except Exception as error:  # a damaged file can raise almost anything
        raise no_weights(source) from error
    if unknown:
        raise refusal(source, *unknown)
    return content


def _as_byte(number: int) -> bytes:
    return bytes([number])
