"""Boxes of a whole file that are written in another form than COCO's: told, and converted."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.box_forms import XYWH, BoxForm, declares_coco_form, edges_of
from hrdet_cli.engine.data.box_judgement import Judgement, judge_form
from hrdet_cli.engine.data.checking.annotations import CheckedFile
from hrdet_cli.engine.data.checking.boxes import CheckedAnnotations
from hrdet_cli.engine.data.checking.problems import (
    FOREIGN_BOXES,
    FOREIGN_SHARES,
    SUSPECT_BOXES,
    UNDECLARED_BOXES,
    Problem,
    ProblemLog,
)

_DECIMALS = 3  # of a converted coordinate, in pixels


def with_coco_boxes(file: CheckedFile, log: ProblemLog, *, form: BoxForm | None) -> CheckedFile:
    """The file with its boxes in COCO's form, in whichever they are written.

    Args:
        file: With the true sizes of its pictures, as far as they are known.
        log: Is told when they are in another form, or may be.
        form: The form, where somebody has said which it is; COCO's own says that they are not to be judged.
    """
    annotations = file.annotations
    sizes = annotations.sizes_in(file.pictures.sizes)
    is_known = annotations.has_box & sizes.all(axis=1)
    if form in (None, XYWH) and declares_coco_form(file.content.get("info")):
        return file
    judgement = judge_form(annotations.boxes[is_known], edges_of(sizes[is_known]))
    if form is XYWH:
        if judgement is not None and judgement.is_certain:
            what = f"training doubts the boxes until the file says what they are: {judgement.what}"
            log.add_one(Problem(UNDECLARED_BOXES, file.path.name, None, what))
        return file
    if form is not None:
        judgement = Judgement(form, True, "as --boxes says")
    if judgement is None:
        return file
    if not judgement.is_certain:
        log.add_one(Problem(SUSPECT_BOXES, file.path.name, None, judgement.suspicion))
        return file
    kind = FOREIGN_SHARES if judgement.form is None else FOREIGN_BOXES
    what = f"the boxes are no [x, y, width, height] in pixels, as COCO's are: {judgement.what}"
    log.add_one(Problem(kind, file.path.name, None, what))
    if judgement.form is None:
        return file
    return replace(file, annotations=_converted(annotations, judgement.form, sizes, is_known))


def _converted(
    annotations: CheckedAnnotations,
    form: BoxForm,
    sizes: NDArray[np.int64],
    is_known: NDArray[np.bool_],
) -> CheckedAnnotations:
    """All boxes converted, and areas, which were computed of them, computed again."""
    boxes = annotations.boxes.copy()
    boxes[is_known] = form.to_coco(boxes[is_known], edges_of(sizes[is_known])).round(_DECIMALS)
    has_area = ~np.isnan(annotations.areas)
    areas = np.where(has_area, (boxes[:, 2] * boxes[:, 3]).round(_DECIMALS), np.nan)
    for row in np.flatnonzero(is_known).tolist():
        annotations.entries.change(row, "bbox", [_plain(value) for value in boxes[row].tolist()])
        if has_area[row]:
            annotations.entries.change(row, "area", _plain(float(areas[row])))
    return replace(annotations, boxes=boxes, areas=areas)


def _plain(value: float) -> float:
    return int(value) if value.is_integer() else value
