"""The summary of a spec's batches: the epoch as it will be, and each scale by itself."""

from dataclasses import dataclass
from typing import Any

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.runs.anchor_advice import AnchorAdvice, advise_anchors
from hrdet_cli.runs.build.anchors import build_anchor_fit
from hrdet_cli.runs.build.steps import build_augmentation, build_resizing, build_steps
from hrdet_cli.runs.inspect_batch.epoch_summary import EpochSummary, summarise_epoch
from hrdet_cli.runs.inspect_batch.scale_summary import ScaleSummary, listed_scales, summarise_scale
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.heads.head import HeadSpec

_MOST_PICTURES = 3000  # a second or two
_MOST_SCALES = 12
_LOOSE_OVERLAP = 0.5


@dataclass(frozen=True, slots=True)
class Summary:
    """What batches and scales are like.

    Attributes:
        epoch: The batches of the first steps.
        scales: The pictures of these steps at each scale, the smallest first.
        is_range: Whether the scales only stand for those between them.
        anchors: Those of the detector and better ones; None where it has none, or the pictures no boxes.
    """

    epoch: EpochSummary
    scales: tuple[ScaleSummary, ...]
    is_range: bool
    anchors: AnchorAdvice | None

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        drawn = self.epoch.pictures_by_scale
        return self.epoch.to_json() | {
            "scales": [
                scale.to_json()
                | {
                    "share_of_pictures": drawn[scale.scale].num_items / self.epoch.num_pictures,
                    "useful_pixel_share": drawn[scale.scale].useful_share,
                }
                for scale in self.scales
            ],
            "anchors": None if self.anchors is None else self.anchors.to_json(),
        }


def summarise(
    spec: ExperimentSpec, annotations: CocoAnnotations, *, epoch: int, num_processes: int
) -> Summary:
    """Count what training would get, from annotations alone.

    Args:
        spec: The experiment.
        annotations: Of the training part.
        epoch: Counted from 0.
        num_processes: How many share a step.

    Raises:
        DataError: The pictures fit no canvas.
    """
    augmentation = build_augmentation(spec.augmentation, build_resizing(spec))
    steps = build_steps(spec, annotations, num_processes=num_processes)
    scales = listed_scales(augmentation, most=_MOST_SCALES)
    seed = spec.run.seed
    whole = summarise_epoch(
        steps,
        annotations,
        augmentation,
        scales=scales,
        seed=seed,
        epoch=epoch,
        num_processes=num_processes,
        most_pictures=_MOST_PICTURES,
    )
    return Summary(
        epoch=whole,
        scales=tuple(
            summarise_scale(
                scale,
                annotations,
                whole.indices,
                augmentation=augmentation,
                padding=steps.padding,
                anchors=build_anchor_fit(spec),
                overlaps=_overlaps(spec.model.head),
                seed=seed,
                epoch=epoch,
            )
            for scale in scales
        ),
        is_range=not augmentation.choices,
        anchors=advise_anchors(spec, annotations),
    )


def _overlaps(head: HeadSpec) -> list[float]:
    """What the recall of anchors is given for, the highest first; nothing where there are none."""
    if head.anchors is None:
        return []
    matching = head.anchors.spec
    return sorted({matching.positive_iou, _LOOSE_OVERLAP, matching.min_positive_iou} - {0.0}, reverse=True)
