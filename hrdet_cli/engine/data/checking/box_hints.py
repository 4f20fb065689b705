"""Mistakes in a whole file that its boxes betray."""

from hrdet_cli.engine.data.checking.annotations import CheckedFile

_FEWEST_BOXES = 10  # fewer prove nothing
_NEARLY_ALL = 0.99
_TOO_MANY = 0.1


def hints_about_boxes(file: CheckedFile) -> list[str]:
    """What all boxes together suggest: that they are written in a form that is not COCO's."""
    annotations = file.annotations
    rows = annotations.picture_rows
    is_known = (rows >= 0) & annotations.boxes.any(axis=1)
    boxes = annotations.boxes[is_known]
    if len(boxes) < _FEWEST_BOXES:
        return []
    edges = file.pictures.sizes[rows[is_known]][:, ::-1]
    if ((boxes >= 0) & (boxes <= 1)).all(axis=1).mean() >= _NEARLY_ALL:
        return ["the boxes look like shares of the picture, as YOLO writes them; COCO's are in pixels"]
    is_inside_as_corners = (boxes[:, 2:] > boxes[:, :2]) & (boxes[:, 2:] <= edges + 1)
    is_outside_as_sides = (boxes[:, :2] + boxes[:, 2:] > edges + 1).any(axis=1)
    if is_inside_as_corners.all(axis=1).mean() >= _NEARLY_ALL and is_outside_as_sides.mean() > _TOO_MANY:
        return ["the boxes look like corners [x1, y1, x2, y2]; COCO's are [x, y, width, height]"]
    return []
