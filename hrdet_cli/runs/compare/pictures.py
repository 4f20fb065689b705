"""The pictures on which two detectors differ most."""

import numpy as np

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.runs.compare.report import ComparedRun, PictureDifference

MOST_PICTURES = 50
"""So many are listed."""


def differing_pictures(
    baseline: ComparedRun, other: ComparedRun, annotations: CocoAnnotations
) -> list[PictureDifference]:
    """Pictures in which one makes more errors than the other, the largest difference first.

    Each is taken from the score on at which its F1 is best: detectors of different kinds do not mean the same
    by a score.
    """
    first, second = baseline.errors, other.errors
    fewer = (first.num_missed + first.num_false) - (second.num_missed + second.num_false)
    order = np.argsort(-np.abs(fewer), kind="stable")[:MOST_PICTURES]
    return [
        PictureDifference(
            picture=picture,
            file_name=str(annotations.file_names[baseline.boxes.picture_indices[picture]]),
            num_objects=int(first.num_objects[picture]),
            num_missed=(int(first.num_missed[picture]), int(second.num_missed[picture])),
            num_false=(int(first.num_false[picture]), int(second.num_false[picture])),
        )
        for picture in order[fewer[order] != 0].tolist()
    ]
