"""Annotations of several data sets as those of one."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.segmentations import Segmentations


def join_annotations(sets: Sequence[CocoAnnotations], prefixes: Sequence[str]) -> CocoAnnotations:
    """Join data sets, whose classes are told by their names.

    Classes are those of all sets in the order in which they first occur, with their first ids; one whose id
    is taken by another gets a new one. Pictures are numbered anew, from 1.

    Args:
        sets: Without what only scores need.
        prefixes: What names of pictures begin with, for each set.
    """
    names = tuple(dict.fromkeys(name for one in sets for name in one.class_names))
    label_by_name = {name: label for label, name in enumerate(names)}
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
        class_names=names,
        category_ids=_choose_ids(sets, names),
        dropped_boxes=dict(totals),
        spare_categories={
            int(labels[label]): what
            for labels, one in zip(labels_of, sets, strict=True)
            for label, what in one.spare_categories.items()
        },
        segmentations=_join_segmentations(segmentations) if segmentations else None,
        notes=tuple(note for one in sets for note in one.notes),
        set_sizes=tuple(map(len, sets)),
    )


def _choose_ids(sets: Sequence[CocoAnnotations], names: Sequence[str]) -> tuple[int, ...]:
    chosen: dict[str, int] = {}
    for one in sets:
        for name, number in zip(one.class_names, one.category_ids, strict=True):
            if name not in chosen:
                is_taken = number in chosen.values()
                chosen[name] = max(chosen.values()) + 1 if is_taken else number
    return tuple(chosen[name] for name in names)


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
