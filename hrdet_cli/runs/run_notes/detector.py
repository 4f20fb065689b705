"""Notes on the detector: boxes that no anchor and no point can learn, and thresholds that hide detections."""

from dataclasses import replace

import numpy as np

from hrdet_cli.engine.models.dense.anchor_fit import AnchorFit, PlacedBoxes
from hrdet_cli.engine.models.dense.point_fit import PointFit
from hrdet_cli.runs.build.anchors import build_anchor_fit, build_point_fit
from hrdet_cli.runs.run_notes.figures import RunFigures
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.heads.anchors import AnchorSpec
from hrdet_cli.specs.heads.head import Section

_MOST_UNMATCHED = 0.2
"""Of the boxes of COCO, about a twentieth are too small for the published anchors."""
_SCALES = (1, 2, 3, 4, 6, 8, 12, 16)
_HIGHEST_THRESHOLD = 0.3


def describe_unmatched(spec: ExperimentSpec, matching_loss: str) -> str:
    """What it means, and what to do, when a whole epoch matched nothing with any box.

    Args:
        spec: The experiment.
        matching_loss: The head's loss that was zero in all steps.
    """
    anchors = spec.model.head.anchors
    what, cure = "cell", "how large the boxes are"
    if anchors is not None:
        what, cure = "anchor", f"what the boxes are and which {anchors.key}.anchor_scale fits them"
    return (
        f"in the whole first epoch no {what} matched a box ({matching_loss} 0 in every step), so the "
        f"detector learns to find nothing: stop, and see with --dry-run {cure}"
    )


def describe_unmatched_boxes(run: RunFigures) -> str | None:
    """Boxes for which no anchor, or no point, can ever be positive."""
    placed, section = run.placed_boxes(), run.spec.model.head.anchors
    anchors, points = build_anchor_fit(run.spec), build_point_fit(run.spec)
    if not len(placed.boxes):
        return None
    if points is not None:
        return _describe_missed_boxes(points, placed, run.spec.augmentation.size_key)
    if anchors is None or section is None:
        return None
    share = _unmatched_share(anchors, placed, section.spec)
    if share <= _MOST_UNMATCHED:
        return None
    shapes = np.sqrt((anchors.anchors.cells[..., 2:] - anchors.anchors.cells[..., :2]).prod(axis=-1))
    return (
        f"{share:.0%} of the boxes can match no anchor, so the detector cannot learn to find them: "
        f"{_describe_sides(placed)}, and anchors have {shapes.min():.0f} to {shapes.max():.0f}"
        f"{_describe_cure(anchors, placed, section, share, run.spec.augmentation.size_key)}"
    )


def _describe_missed_boxes(points: PointFit, placed: PlacedBoxes, size_key: str) -> str | None:
    """Boxes that lie between points, or whose size no point in them is meant for."""
    share = 1 - float(points.can_learn(placed).mean())
    if share <= _MOST_UNMATCHED:
        return None
    return (
        f"{share:.0%} of the boxes have no point in them that could learn them, so the detector cannot learn "
        f"to find them: {_describe_sides(placed)}, and points lie {points.levels.strides[0]} pixels apart; "
        f"set larger {size_key} and canvases"
    )


def _describe_sides(placed: PlacedBoxes) -> str:
    sides = np.sqrt((placed.boxes[:, 2:] - placed.boxes[:, :2]).prod(axis=1))
    return f"half of the boxes have sides below {float(np.median(sides)):.0f} pixels as training sees them"


def _unmatched_share(anchors: AnchorFit, placed: PlacedBoxes, spec: AnchorSpec) -> float:
    """Of boxes that neither reach ``positive_iou`` nor may claim their best anchors."""
    best = anchors.best_iou(placed)
    needed = min(spec.positive_iou, spec.min_positive_iou)
    return float(((best < needed) | (best <= 0)).mean())


def _describe_cure(
    anchors: AnchorFit, placed: PlacedBoxes, section: Section[AnchorSpec], share: float, size_key: str
) -> str:
    """The settings that leave the fewest boxes without an anchor, if any help."""
    found: list[tuple[float, int, str]] = []
    current = section.spec.num_strides
    for border, border_setting in {
        anchors.allowed_border: "",
        None: f" --set {section.key}.allowed_border_pixels=null",
    }.items():
        for scale in {current, *_SCALES}:
            scale_setting = "" if scale == current else f" --set {section.key}.anchor_scale={scale:g}"
            trial = replace(anchors, anchors=replace(anchors.anchors, scale=scale), allowed_border=border)
            settings = f"{scale_setting}{border_setting}"
            if settings:
                left = round(_unmatched_share(trial, placed, section.spec), 2)
                found.append((left, settings.count("--set"), settings))
    left, _, settings = min(found)
    if left > share / 2:
        return f"; set larger {size_key} and canvases"
    return f":{settings} leaves {left:.0%}"


def describe_high_threshold(run: RunFigures) -> str | None:
    """A threshold that takes detections away from the score."""
    selection = run.spec.model.head.selection
    if selection is None or selection.spec.score_threshold < _HIGHEST_THRESHOLD:
        return None
    return (
        f"detections with a score below {selection.spec.score_threshold:g} are dropped before they are "
        f"scored, which costs AP: --set {selection.key}.score_threshold=0.05 (hrdet predict has --min-score "
        "for what is drawn)"
    )
