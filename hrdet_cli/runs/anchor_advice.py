"""Which anchors fit the training boxes, at the scales that they are trained at."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrdet_cli.activity import doing
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.shape_classes import count_sizes
from hrdet_cli.engine.data.showings import Showing
from hrdet_cli.engine.data.step_layout import place_picture
from hrdet_cli.engine.data.transforms import move_boxes
from hrdet_cli.engine.models.dense.anchor_fit import AnchorFit, PlacedBoxes
from hrdet_cli.engine.models.dense.anchor_search import fit_anchors, fit_anchors_by_level
from hrdet_cli.engine.models.dense.anchor_shapes import AnchorShapes
from hrdet_cli.errors import DataError
from hrdet_cli.runs.build.anchors import build_anchor_fit
from hrdet_cli.runs.build.steps import build_augmentation, build_padding, build_resizing, training_indices
from hrdet_cli.runs.dataset.opening import open_part
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.heads.anchors import MAX_ANCHORS_OF_CELL, AnchorSpec
from hrdet_cli.specs.heads.head import Section
from hrdet_cli.specs.loading import with_settings
from hrdet_cli.wording import command

LEAST_GAIN = 0.05
"""In recall: less is not worth other anchors than those that weights were trained with."""
_MOST_PICTURES = 500
_MOST_BOXES = 500  # a third of a second's work


@dataclass(frozen=True, slots=True)
class AnchorChoice:
    """Some anchors, and what the training boxes have of them.

    Attributes:
        shapes: The anchors.
        recall: Share of the boxes that an anchor which takes part in training overlaps at least
            `AnchorSpec.positive_iou`.
        mean_iou: The mean of all boxes' highest overlaps.
        settings: What chooses the anchors, each as ``key=value``.
    """

    shapes: AnchorShapes
    recall: float
    mean_iou: float
    settings: tuple[str, ...]

    @property
    def options(self) -> str:
        """What chooses the anchors on a command line."""
        return " ".join(command("--set", setting) for setting in self.settings)

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "anchor_scale": self.shapes.scale,
            "anchor_scales_per_octave": self.shapes.scales_per_octave,
            "anchor_aspect_ratios": list(self.shapes.aspect_ratios),
            "recall": self.recall,
            "mean_iou": self.mean_iou,
            "settings": list(self.settings),
        }


@dataclass(frozen=True, slots=True)
class AnchorAdvice:
    """The anchors of an experiment, and better ones.

    Attributes:
        positive_iou: What makes an anchor positive.
        present: Those of the spec; None where they are to be found.
        fitted: As many at each position that fit best.
        by_level: As many, whose scale each level has for itself; None where that gains nothing on boxes that
            it was not fitted to, and the spec does not ask for it.
        denser: Twice as many scales, fitted; None where those would be too many.
        found: Which of these the spec takes; None where it has numbers.
    """

    positive_iou: float
    present: AnchorChoice | None
    fitted: AnchorChoice
    by_level: AnchorChoice | None
    denser: AnchorChoice | None
    found: AnchorChoice | None

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        choices = {
            "present": self.present,
            "fitted": self.fitted,
            "by_level": self.by_level,
            "denser": self.denser,
        }
        return {"positive_iou": self.positive_iou} | {
            name: None if choice is None else choice.to_json() for name, choice in choices.items()
        }


@doing("looking for anchors that fit")
def advise_anchors(spec: ExperimentSpec, annotations: CocoAnnotations) -> AnchorAdvice | None:
    """Look for anchors that fit the training boxes.

    Args:
        spec: The experiment.
        annotations: Of its training part.

    Returns:
        None where the detector has no anchors, or the pictures no boxes.

    Raises:
        DataError: The pictures fit no canvas.
    """
    section = spec.model.head.anchors
    placed = None if section is None else _place_boxes(spec, annotations)
    if section is None or placed is None:
        return None
    anchors = _anchors_of(spec, section)
    counts = section.spec.anchor_scales_per_octave, len(section.spec.anchor_aspect_ratios)
    asks_by_level = section.spec.anchor_scale == "auto-by-level"
    fitted, by_level = _judge(_fit(anchors, placed, section), placed, section), None
    if asks_by_level or _gains_by_level(anchors, placed, section):
        by_level = _judge(_fit(anchors, placed, section, by_level=True), placed, section)
    is_found = section.spec.is_to_be_found
    fits_twice = 2 * counts[0] * counts[1] <= MAX_ANCHORS_OF_CELL
    twice = replace(anchors, anchors=replace(anchors.anchors, scales_per_octave=2 * counts[0]))
    return AnchorAdvice(
        positive_iou=section.spec.positive_iou,
        present=None if is_found else _judge(anchors, placed, section),
        fitted=fitted,
        by_level=by_level,
        denser=_judge(_fit(twice, placed, section), placed, section) if fits_twice else None,
        found=(by_level if asks_by_level else fitted) if is_found else None,
    )


def advise_on_training_data(spec: ExperimentSpec) -> AnchorAdvice | None:
    """Open the training part of an experiment and advise; see `advise_anchors`.

    Raises:
        DataError: The data cannot be used.
    """
    return advise_anchors(spec, open_part(spec.data, "train").annotations)


@doing("looking for anchors that fit")
def fitted_settings(spec: ExperimentSpec, annotations: CocoAnnotations) -> tuple[str, ...]:
    """What makes numbers of anchors that are to be found, each as ``key=value``; nothing where none are.

    Args:
        spec: The experiment.
        annotations: Of its training part.

    Raises:
        DataError: There is no box to fit anchors to, or the pictures fit no canvas.
    """
    section = spec.model.head.anchors
    if section is None or not section.spec.is_to_be_found:
        return ()
    placed = _place_boxes(spec, annotations)
    if placed is None:
        raise DataError(
            f"{annotations.title}: has no box to fit anchors to; set {section.key}.anchor_scale to a number"
        )
    by_level = section.spec.anchor_scale == "auto-by-level"
    return tuple(_settings(_fit(_anchors_of(spec, section), placed, section, by_level=by_level), section))


def with_fitted_anchors(spec: ExperimentSpec, annotations: CocoAnnotations) -> ExperimentSpec:
    """The spec with numbers for anchors that are to be found; arguments as of `fitted_settings`."""
    return with_settings(spec, fitted_settings(spec, annotations))


def _anchors_of(spec: ExperimentSpec, section: Section[AnchorSpec]) -> AnchorFit:
    """The anchors of a spec; where their scale is to be found, of any."""
    if section.spec.is_to_be_found:
        spec = with_settings(spec, (f"{section.key}.anchor_scale=1",))
    anchors = build_anchor_fit(spec)
    if anchors is None:
        raise ValueError(f"{section.key} has no anchors")
    return anchors


def _fit(
    anchors: AnchorFit, placed: PlacedBoxes, section: Section[AnchorSpec], *, by_level: bool = False
) -> AnchorFit:
    sizes = placed.boxes[:, 2:] - placed.boxes[:, :2]
    fit = fit_anchors_by_level if by_level else fit_anchors
    return replace(anchors, anchors=fit(anchors.anchors, sizes, positive_iou=section.spec.positive_iou))


def _gains_by_level(anchors: AnchorFit, placed: PlacedBoxes, section: Section[AnchorSpec]) -> bool:
    """Whether a scale for each level reaches more boxes than one scale does, of those it was not fitted to.

    Five numbers fit a few hundred boxes better than one does in any case.
    """
    halves = [placed.take(slice(start, None, 2)) for start in (0, 1)]
    if not all(len(half.boxes) for half in halves):
        return False
    gains = []
    for half, other in (halves, halves[::-1]):
        one, several = (_fit(anchors, half, section, by_level=by_level) for by_level in (False, True))
        gains.append(_judge(several, other, section).recall - _judge(one, other, section).recall)
    return sum(gains) / len(gains) >= LEAST_GAIN


def _judge(anchors: AnchorFit, placed: PlacedBoxes, section: Section[AnchorSpec]) -> AnchorChoice:
    best = anchors.best_iou(placed)
    return AnchorChoice(
        shapes=anchors.anchors,
        recall=float((best >= section.spec.positive_iou).mean()),
        mean_iou=float(best.mean()),
        settings=tuple(_settings(anchors, section)),
    )


def _settings(anchors: AnchorFit, section: Section[AnchorSpec]) -> Iterator[str]:
    shapes = anchors.anchors
    scales = [float(f"{scale:g}") for scale in shapes.level_scales]
    yield f"{section.key}.anchor_scale={scales if isinstance(shapes.scale, tuple) else f'{shapes.scale:g}'}"
    yield f"{section.key}.anchor_aspect_ratios={[float(f'{ratio:g}') for ratio in shapes.aspect_ratios]}"
    if shapes.scales_per_octave != section.spec.anchor_scales_per_octave:
        yield f"{section.key}.anchor_scales_per_octave={shapes.scales_per_octave}"


def _place_boxes(spec: ExperimentSpec, annotations: CocoAnnotations) -> PlacedBoxes | None:
    """Target boxes of some pictures from all over the file, each at a scale drawn as in training."""
    indices = training_indices(annotations, keep_pictures_without_boxes=spec.data.keep_pictures_without_boxes)
    augmentation = build_augmentation(spec.augmentation, build_resizing(spec))
    padding = build_padding(spec.padding, augmentation, count_sizes(annotations, indices))
    boxes: list[NDArray[np.float64]] = []
    edges: list[tuple[int, int, int, int]] = []
    for index in _spread(indices, _MOST_PICTURES).tolist():
        placement = place_picture(
            annotations, augmentation, seed=spec.run.seed, epoch=0, showing=Showing(index)
        )
        targets, _ = annotations.targets_of(index)
        moved, stays = move_boxes(targets, annotations.size_of(index), placement)
        placed, canvas = placement.placed, padding.canvas_for([placement.placed])
        boxes += list(moved[stays].astype(np.float64))
        edges += [(placed.height, placed.width, canvas.height, canvas.width)] * int(stays.sum())
    if not boxes:
        return None
    rows = _spread(np.arange(len(boxes)), _MOST_BOXES)
    sizes = np.array(edges, dtype=np.int64)[rows]
    return PlacedBoxes(np.array(boxes)[rows], sizes[:, :2], sizes[:, 2:])


def _spread(items: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """So many items at equal distances, or all."""
    if len(items) <= most:
        return items
    return items[np.linspace(0, len(items) - 1, most).round().astype(np.int64)]
