"""Which pictures are one file."""

import posixpath
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def names_by_place(file_names: NDArray[np.str_], roots: Mapping[str, Path]) -> dict[str, list[str]]:
    """Names of pictures by where the file is, as a path with all links of its root followed.

    Args:
        file_names: In any order, any number of times.
        roots: Where the pictures are, by what their names begin with.
    """
    names = np.unique(file_names).tolist()
    found: dict[str, list[str]] = {}
    for prefix, root in roots.items():
        place = root.resolve().as_posix()
        for name in names:
            if name.startswith(prefix):
                path = posixpath.normpath(f"{place}/{name.removeprefix(prefix)}")
                found.setdefault(path, []).append(name)
    return found
