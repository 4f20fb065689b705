"""Annotations of several data sets as those of one."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.segmentations import Segmentations


def join_annotations(sets: Sequence[CocoAnnotations], prefixes: Sequence[str]) -> CocoAnnotations:
    """Join data sets, whose classes are told by their names; see `join_categories`.

    Pictures are numbered anew, from 1.

    Args:
        sets: Without what only scores need.
        prefixes: What names of pictures begin with, for each set.
    """
    categories = join_categories([list(zip(one.category_ids, one.class_names, strict=True)) for one in sets])
    label_by_name = {name: label for label, (_, name) in enumerate(categories)}
    labels_of = [np.array([label_by_name[name] for name in one.class_names]) for one in sets]
    totals = Counter[str]()
    for one in sets:
        totals.update(one.dropped_boxes)
    segmentations = [one.segmentations for one in sets if one.segmentations is not None]
    num_pictures = sum(map(len, sets))
    return replace(
        sets[0],
        fingerprint=hashlib.sha256("".join(one.fingerprint for one in sets).encode()).hexdigest(),
        image_ids=np.arange(1, num_pictures + 1),
        file_names=np.concatenate(
            [np.char.add(prefix, one.file_names) for prefix, one in zip(prefixes, sets, strict=True)]
        ),
        sizes=np.concatenate([one.sizes for one in sets]),
        offsets=_join_offsets([one.offsets for one in sets]),
        boxes=np.concatenate([one.boxes for one in sets]),
        labels=np.concatenate(
            [labels[one.labels] for labels, one in zip(labels_of, sets, strict=True)]
        ).astype(np.int64),
        is_crowd=np.concatenate([one.is_crowd for one in sets]),
        class_names=tuple(name for _, name in categories),
        category_ids=tuple(number for number, _ in categories),
        dropped_boxes=dict(totals),
        spare_categories={
            int(labels[label]): what
            for labels, one in zip(labels_of, sets, strict=True)
            for label, what in one.spare_categories.items()
        },
        segmentations=_join_segmentations(segmentations) if segmentations else None,
        notes=tuple(note for one in sets for note in one.notes),
        set_numbers=np.repeat(np.arange(len(sets)), [len(one) for one in sets]),
    )


def join_categories(sets: Iterable[Iterable[tuple[int, str]]]) -> list[tuple[int, str]]:
    """Ids and names of the classes of several data sets.

    They are those of all sets in the order in which they first occur, with their first ids; one whose id is
    taken by another gets a new one.

    Args:
        sets: Ids and names of each, in the order of the labels.
    """
    id_by_name: dict[str, int] = {}
    for number, name in chain.from_iterable(sets):
        if name not in id_by_name:
            is_taken = number in id_by_name.values()
            id_by_name[name] = max(id_by_name.values()) + 1 if is_taken else number
    return [(number, name) for name, number in id_by_name.items()]


def _join_segmentations(sets: Sequence[Segmentations]) -> Segmentations:
    return Segmentations(
        corners=np.concatenate([one.corners for one in sets]),
        corner_offsets=_join_offsets([one.corner_offsets for one in sets]),
        polygon_offsets=_join_offsets([one.polygon_offsets for one in sets]),
        runs=np.concatenate([one.runs for one in sets]),
        run_offsets=_join_offsets([one.run_offsets for one in sets]),
    )


def _join_offsets(offsets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """Offsets into arrays that lie one behind the other."""
    starts = np.cumsum([0, *(one[-1] for one in offsets)])
    shifted = [one[1:] + start for one, start in zip(offsets, starts[:-1], strict=True)]
    return np.concatenate([[0], *shifted]).astype(np.int64)
