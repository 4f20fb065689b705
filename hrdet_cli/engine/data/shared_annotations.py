"""Annotations that all processes of a group need, read by one of them."""

from dataclasses import replace

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.coco_reading import load_annotations
from hrdet_cli.engine.data.formats.source import AnnotationSource
from hrdet_cli.engine.distributed.collectives import from_first
from hrdet_cli.engine.distributed.world import current_world


def load_annotations_once(
    source: AnnotationSource, *, with_masks: bool = False, with_truth: bool = False
) -> CocoAnnotations:
    """Read annotations in the first process of the group; the others get its arrays.

    For COCO's training file that takes 0.8 GB and several seconds in one process, where the arrays are 32 MB,
    and 200 MB with polygons.
    Each process looks whether the files at its own path, which may lie on a disk of its own, have the same
    content. One that has others reads these itself: the comparison of the processes will tell of it.

    Args:
        source: Where they are, as this process finds them.
        with_masks: As for `load_annotations`.
        with_truth: Likewise.

    Raises:
        DataError: They cannot be read or break their format's structure. The other processes then learn the
            reason from the group.
    """

    def load() -> CocoAnnotations:
        return load_annotations(source, with_masks=with_masks, with_truth=with_truth)

    first = from_first(load, what="annotations")
    if current_world().rank == 0 or source.fingerprint() == first.fingerprint:
        return replace(first, path=source.path)
    return load()
