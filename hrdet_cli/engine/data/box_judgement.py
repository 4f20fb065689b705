"""How the boxes of a file give away that they are written in another form than COCO's.

Right boxes lie in their pictures. Boxes of another form that are read as COCO's do not: corners taken for
sizes and centres taken for corners reach out to the right and to the bottom, shares of the picture are
thinner than a pixel. A file is called wrong only where many of its boxes reach far out as they are read while
nearly all fit as the other form has it. That happens to no file of boxes that are right, nor to one whose
boxes reach out because objects were drawn past the border, or because sizes of pictures are wrong: these
reach out to all sides, and fit in no form.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.engine.data.box_forms import (
    CXCYWH,
    SHARES,
    XYWH,
    XYXY,
    XYXY_SHARES,
    YXYX,
    YXYX_SHARES,
    Boxes,
    BoxForm,
    edges_of,
)
from hrdet_cli.errors import DataError
from hrdet_cli.wording import command, counted

_FEWEST_BOXES = 10  # fewer prove nothing
_FEWEST_SHARES = 3
_FEWEST_DOUBTED = 2
_FEWEST_OUT = 5
_MANY_OUT = 0.05
_MANY_CORNERS_OUT = 0.2
_FAR_OUT = 0.4
_FEWEST_CENTRES = 20
_NEAR = 0.08  # of the edge
_MANY_EXPECTED = 6.0  # none of them is then a case of one in 400
_HARDLY_ANY = 0.02
_NEARLY_ALL = 0.995
_SIDE_TOLERANCE = 0.01  # of the edge, and a pixel
_FULL = 0.97


@dataclass(frozen=True, slots=True)
class Judgement:
    """That boxes are written in another form than COCO's.

    Attributes:
        form: The form; None where several would do, or none that is known.
        is_certain: Whether right boxes could not look so.
        reason: What gives them away.
    """

    form: BoxForm | None
    is_certain: bool
    reason: str

    @property
    def what(self) -> str:
        """The form and the reason, in words."""
        verb = "are" if self.is_certain else "may be"
        return self.reason if self.form is None else f"they {verb} {self.form.what} ({self.reason})"

    @property
    def suspicion(self) -> str:
        """What is said of boxes that may be right."""
        remedy = (
            "" if self.form is None else f"; if so, hrdet check-data --boxes {self.form.name} converts them"
        )
        return f"look at the boxes with hrdet inspect-batch: {self.what}{remedy}"


def judge_form(boxes: Boxes, edges: Boxes) -> Judgement | None:
    """Tell whether boxes are written in another form than COCO's.

    Args:
        boxes: ``(B, 4)`` as they stand in the file, all of them.
        edges: ``(B, 4)`` width, height, width, height of their pictures, all over 0.

    Returns:
        None where they may well be COCO's.
    """
    num_in_unit = int(((boxes >= -0.01) & (boxes <= 1.01)).all(axis=1).sum())
    if len(boxes) < _FEWEST_DOUBTED:
        return None
    if num_in_unit >= _NEARLY_ALL * len(boxes):
        return _judge_shares(boxes, num_in_unit)
    if num_in_unit >= max(_FEWEST_OUT, _MANY_OUT * len(boxes)):
        reason = (
            f"{num_in_unit:,} of {len(boxes):,} lie between 0 and 1, as shares of the picture do, and the "
            "others do not; was the file put together from two?"
        )
        return Judgement(None, False, reason)
    return _judge_pixels(boxes, edges) or _judge_grid(boxes, edges)


def _judge_shares(boxes: Boxes, num_in_unit: int) -> Judgement | None:
    if not (boxes % 1).any(axis=1).mean() > 0.5 and len(boxes) < _FEWEST_BOXES:
        return None
    unit = np.ones_like(boxes)
    fitting = [form for form in SHARES if _is_out(form.to_xywh(boxes), unit, 0.01).mean() <= _HARDLY_ANY]
    reason = f"of {counted(len(boxes), 'box', 'boxes')} {num_in_unit:,} lie between 0 and 1"
    if len(boxes) < _FEWEST_SHARES and fitting:
        return Judgement(None, False, reason)
    if fitting == [XYXY_SHARES]:
        reason += _would_fit_too(YXYX_SHARES)
    if len(fitting) == 1:
        return Judgement(fitting[0], True, reason)
    names = " or ".join(form.name for form in fitting)
    return (
        Judgement(None, True, f"{reason}; which of {names} they are, they do not tell") if fitting else None
    )


def _would_fit_too(form: BoxForm) -> str:
    return f"; {form.what} would fit too: name them with --boxes {form.name} if they are that"


def _judge_pixels(boxes: Boxes, edges: Boxes) -> Judgement | None:
    is_out = _is_out(boxes, edges, 1)
    if is_out.sum() < _FEWEST_DOUBTED:
        return None
    suspicion = None
    for form in (CXCYWH, XYXY, YXYX):
        converted = form.to_xywh(boxes)
        is_out_then = _is_out(converted, edges, 1 + _SIDE_TOLERANCE * edges)
        if is_out_then.mean() > min(_HARDLY_ANY, is_out.mean() / 10):
            continue
        reason = (
            f"read as COCO's, {int(is_out.sum()):,} of {len(boxes):,} boxes reach out of their pictures; "
            f"read so, {int(is_out_then.sum()):,}"
        )
        if form is XYXY and _is_out(YXYX.to_xywh(boxes), edges, 1).mean() <= _HARDLY_ANY:
            reason += _would_fit_too(YXYX)
        if form is CXCYWH:
            is_certain = _look_like_centres(boxes, edges)
        else:
            is_certain = is_out.mean() >= _MANY_CORNERS_OUT and _reach_far_out(converted, edges)
        if is_certain and len(boxes) >= _FEWEST_BOXES:
            return Judgement(form, True, reason)
        most_are_out = is_out.sum() >= _FEWEST_DOUBTED and is_out.mean() > 0.5
        if suspicion is None and form is not YXYX and (is_out.sum() >= _FEWEST_OUT or most_are_out):
            suspicion = Judgement(form, False, reason)
    return suspicion


def _judge_grid(boxes: Boxes, edges: Boxes) -> Judgement | None:
    """Percents and thousandths of the picture, as some tools and language models write them."""
    for most, name in ((100, "percents"), (1000, "thousandths")):
        is_another_size = (np.abs(edges[:, :2] / most - 1) > 0.3).all(axis=1)
        if boxes.min() < 0 or boxes.max() > most or is_another_size.mean() < _NEARLY_ALL:
            continue
        for converted, what in ((boxes, "[x, y, width, height]"), (XYXY.to_xywh(boxes), "corners")):
            far = converted[:, :2] + converted[:, 2:]
            if (
                (converted[:, 2:] > 0).all()
                and (far <= most).all()
                and (far.max(axis=0) >= _FULL * most).all()
            ):
                reason = (
                    f"they reach up to {most} each way, whatever their pictures' sizes: {name}, as {what}?"
                )
                return Judgement(None, False, reason)
    return None


def _is_out(boxes: Boxes, edges: Boxes, tolerance: Boxes | float) -> NDArray[np.bool_]:
    """Which of ``[x, y, width, height]`` have no area, or reach out of their pictures."""
    near, far = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    allowed = np.broadcast_to(np.asarray(tolerance), boxes.shape)[:, :2]
    is_out: NDArray[np.bool_] = (
        (near < -allowed) | (far > edges[:, :2] + allowed) | (boxes[:, 2:] <= 0)
    ).any(axis=1)
    return is_out


def _reach_far_out(converted: Boxes, edges: Boxes) -> bool:
    """Whether corners reach far out when they are read as sizes: by nearly half a picture.

    The far corner of an object in the right half is added to its near one. No box that was merely drawn past
    the border reaches so far.

    Args:
        converted: The boxes, were they corners.
        edges: Of their pictures.
    """
    near_and_far = 2 * converted[:, :2] + converted[:, 2:]
    reaches_far = (near_and_far > (1 + _FAR_OUT) * edges[:, :2]).any(axis=0)
    share = (converted[:, 2:] / edges[:, 2:]).min(axis=1)
    return bool(reaches_far.all() and np.median(share) <= _FAR_OUT)


def _look_like_centres(boxes: Boxes, edges: Boxes) -> bool:
    """Whether boxes reach out to the right and to the bottom only, and come near all four sides as centres.

    Objects lie all over the pictures. If these were near corners, some, ``num_expected`` of them, would lie
    less than half the box from a side. And boxes that only seem to fit when shifted leave a side free.
    """
    if len(boxes) < _FEWEST_CENTRES:
        return False
    edges = edges[:, :2]
    is_out = boxes[:, :2] + boxes[:, 2:] > (1 + 2 * _SIDE_TOLERANCE) * edges + 2
    converted = CXCYWH.to_xywh(boxes)
    comes_near = converted[:, :2] <= 1 + _NEAR * edges
    comes_far = converted[:, :2] + converted[:, 2:] >= (1 - _NEAR) * edges - 1
    room = np.maximum(edges - boxes[:, 2:], 1)
    num_expected = np.clip((boxes[:, 2:] / 2 - 1 - _SIDE_TOLERANCE * edges) / room, 0, 1).sum()
    touched_as_read = (np.abs(boxes[:, :2]) <= 1).any(axis=1)
    return bool(
        is_out.any(axis=1).mean() >= _MANY_OUT
        and (is_out.sum(axis=0) >= 2).all()
        and comes_near.any(axis=0).all()
        and comes_far.any(axis=0).all()
        and num_expected >= _MANY_EXPECTED
        and touched_as_read.mean() <= _HARDLY_ANY
    )


def refuse_foreign_boxes(path: Path, boxes: Boxes, sizes: NDArray[np.integer]) -> str | None:
    """Refuse a file whose boxes are surely written in another form than COCO's.

    Args:
        path: The file.
        boxes: ``(B, 4)`` as they stand in it.
        sizes: ``(B, 2)`` height and width of their pictures.

    Returns:
        What makes one doubt them, where that is not sure; None where nothing does.

    Raises:
        DataError: They are; says how to convert them.
    """
    judgement = judge_form(boxes, edges_of(sizes))
    if judgement is None or not judgement.is_certain:
        return None if judgement is None else judgement.suspicion
    words: list[str | Path] = [
        "hrdet",
        "check-data",
        path,
        "--fix-out",
        path.with_name(f"{path.stem}-xywh.json"),
    ]
    if judgement.form is None:
        words += ["--boxes", SHARES[0].name]
    raise DataError(
        f"{path}: the boxes are no {XYWH.what}, as COCO's are: {judgement.what}. This converts them; with "
        f"--boxes xywh besides, it makes a file that says they are COCO's all the same: {command(*words)}"
    )
