"""Forms in which the four numbers of a box are written."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FORM_KEY = "box_format"
"""In ``info``: ``xywh`` there says that boxes are COCO's, whatever they look like."""

Boxes = NDArray[np.float64]


class BoxForm(NamedTuple):
    """How four numbers are a box.

    Attributes:
        name: For options: ``xyxy``.
        what: In words.
        to_xywh: Turns boxes ``(B, 4)`` into COCO's in the same unit.
        is_in_shares: Whether the unit is the picture's width and height, and not the pixel.
    """

    name: str
    what: str
    to_xywh: Callable[[Boxes], Boxes]
    is_in_shares: bool

    def to_coco(self, boxes: Boxes, edges: Boxes) -> Boxes:
        """COCO's ``[x, y, width, height]`` in pixels, ``(B, 4)``, of boxes in pictures with these edges."""
        converted = self.to_xywh(boxes)
        return converted * edges if self.is_in_shares else converted


def _xywh(boxes: Boxes) -> Boxes:
    return boxes


def _from_corners(boxes: Boxes) -> Boxes:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _from_corners_y_first(boxes: Boxes) -> Boxes:
    return _from_corners(boxes[:, [1, 0, 3, 2]])


def _from_centres(boxes: Boxes) -> Boxes:
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, 2:]], axis=1)


XYWH = BoxForm("xywh", "[x, y, width, height] in pixels", _xywh, False)
XYXY = BoxForm("xyxy", "corners [x1, y1, x2, y2] in pixels", _from_corners, False)
YXYX = BoxForm("yxyx", "corners [y1, x1, y2, x2] in pixels", _from_corners_y_first, False)
CXCYWH = BoxForm("cxcywh", "centres [x, y, width, height] in pixels", _from_centres, False)
_CXCYWH_SHARES = BoxForm(
    "cxcywh-shares", "centres [x, y, width, height] in shares of the picture", _from_centres, True
)
_XYWH_SHARES = BoxForm("xywh-shares", "[x, y, width, height] in shares of the picture", _xywh, True)
XYXY_SHARES = BoxForm("xyxy-shares", "corners [x1, y1, x2, y2] in shares of the picture", _from_corners, True)
YXYX_SHARES = BoxForm(
    "yxyx-shares", "corners [y1, x1, y2, x2] in shares of the picture", _from_corners_y_first, True
)
SHARES = (_CXCYWH_SHARES, _XYWH_SHARES, XYXY_SHARES)
"""Those that shares can be told to have: with the y first they look the same."""
BOX_FORMS = {form.name: form for form in (XYWH, XYXY, YXYX, CXCYWH, *SHARES, YXYX_SHARES)}
"""All forms that are known, by name."""


def edges_of(sizes: NDArray[np.integer]) -> Boxes:
    """Width, height, width, height ``(B, 4)`` of pictures of heights and widths ``(B, 2)``."""
    return sizes[:, [1, 0, 1, 0]].astype(np.float64)


def declares_coco_form(info: Any) -> bool:
    """Whether a file says of itself that its boxes are COCO's, whatever they look like.

    Args:
        info: What it holds as ``info``.
    """
    return isinstance(info, dict) and info.get(FORM_KEY) == XYWH.name
