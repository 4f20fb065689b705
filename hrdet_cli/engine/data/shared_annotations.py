"""Annotations of a file that all processes of a group need, read by one of them."""

import hashlib
from dataclasses import replace
from pathlib import Path

from hrdet_cli.engine.data.coco import CocoAnnotations, load_coco
from hrdet_cli.engine.distributed.collectives import from_first
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.errors import DataError


def load_coco_once(
    path: Path, images: Path | None = None, *, with_masks: bool = False, with_truth: bool = False
) -> CocoAnnotations:
    """Read a COCO annotation file in the first process of the group; the others get its arrays.

    For COCO's training file that takes 0.8 GB and several seconds in one process, where the arrays are 32 MB,
    and 200 MB with polygons.
    Each process looks whether the file at its own path, which may lie on a disk of its own, has the same
    content. One that has another reads that itself: the comparison of the processes will tell of it.

    Args:
        path: The file, where this process finds it.
        images: As for `load_coco`.
        with_masks: Likewise.
        with_truth: Likewise.

    Raises:
        DataError: The file cannot be read or breaks COCO's structure. The other processes then learn the
            reason from the group.
    """

    def load() -> CocoAnnotations:
        return load_coco(path, images, with_masks=with_masks, with_truth=with_truth)

    first = from_first(load, what="annotations")
    if current_world().rank == 0 or _fingerprint(path) == first.fingerprint:
        return replace(first, path=path)
    return load()


def _fingerprint(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}. Give the path of a COCO annotation file."
        ) from error
