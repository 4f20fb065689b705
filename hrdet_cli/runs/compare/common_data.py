"""What all detections of a comparison are scored on: one annotation file, the same classes and pictures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hrdet_cli.engine.data.coco import ANY_CLASS, CocoAnnotations
from hrdet_cli.engine.data.coco_reading import load_annotations
from hrdet_cli.engine.data.formats.source import AnnotationSource
from hrdet_cli.engine.evaluation.preparation import COCO_LIMITS
from hrdet_cli.errors import DataError, SpecError
from hrdet_cli.file_kinds import why_no_file
from hrdet_cli.runs.annotation_sources import find_parts, find_source
from hrdet_cli.runs.compare.saved_results import SavedMetrics, SavedResults
from hrdet_cli.runs.dataset.classes import with_classes_alone
from hrdet_cli.specs.data import DatasetSpec
from hrdet_cli.wording import counted, first_few

_START_BYTES = 65536
"""Of a list of detections: the first one is in it."""


@dataclass(frozen=True, slots=True, eq=False)
class CommonData:
    """Annotations, and what of them counts.

    Attributes:
        annotations: With the ground truth; with masks where all detections have some.
        images: Folder or archive of the pictures; None where nobody named it.
        left_out: Ids of pictures that one of the evaluations could not read.
        more_limits: Numbers of detections that all were evaluated at beside COCO's.
        is_that_of_metrics: Whether the evaluations were made on these very annotations.
    """

    annotations: CocoAnnotations
    images: Path | None
    left_out: frozenset[int]
    more_limits: tuple[int, ...]
    is_that_of_metrics: bool

    @property
    def num_pictures(self) -> int:
        """Those that count."""
        return len(self.annotations) - len(self.left_out)

    def notices(self) -> list[str]:
        """What the user should be told."""
        if not self.left_out:
            return []
        return [
            f"{counted(len(self.left_out), 'picture')} that an evaluation could not read "
            f"{'is' if len(self.left_out) == 1 else 'are'} left out for all"
        ]


def open_common_data(results: Sequence[SavedResults], named: DatasetSpec | None) -> CommonData:
    """Load what all results are scored on.

    Args:
        results: Of evaluations on the same annotations, with the same classes.
        named: Annotations that the user named, to score all on these; None for those of the evaluations.

    Raises:
        SpecError: Nobody says which annotations.
        DataError: They are not there, were changed, or are not the same for all.
    """
    known = [(one, one.metrics) for one in results if one.metrics is not None]
    for one, metrics in known[1:]:
        _refuse_other_data(known[0], (one, metrics), by_user=named is not None)
    source = find_source(named, "val") if named is not None else _source_of(results, known)
    with_masks = all(_has_masks(one) for one in results)
    annotations = load_annotations(source, with_masks=with_masks, with_truth=True)
    if named is None and annotations.fingerprint != known[0][1].made_from.annotations_sha256:
        raise DataError(
            f"{annotations.title}: was changed since {known[0][0].source} was evaluated on it; evaluate "
            "again with hrdet eval, or score what was saved on it as it is now: --val-data SOURCE IMAGES"
        )
    if known:
        annotations = _with_classes_of(annotations, known[0][1])
    broken = [name for _, metrics in known for name in metrics.broken_pictures]
    images = source.images
    if named is None and images is None:
        images = Path(known[0][1].made_from.images)
    return CommonData(
        annotations=annotations,
        images=images,
        left_out=frozenset(annotations.image_ids[np.isin(annotations.file_names, broken)].tolist()),
        more_limits=_common_limits([metrics for _, metrics in known]),
        is_that_of_metrics=named is None,
    )


def _source_of(
    results: Sequence[SavedResults], known: Sequence[tuple[SavedResults, SavedMetrics]]
) -> AnnotationSource:
    if not known:
        raise SpecError(
            [
                f"{results[0].source}: detections alone do not say of which pictures they are; name their "
                "annotations: --val-data SOURCE IMAGES"
            ]
        )
    made_from = [metrics.made_from for _, metrics in known]
    there = [one for one in made_from if Path(one.annotations).exists()]
    if not there:
        path = Path(made_from[0].annotations)
        raise DataError(
            f"{path}: {why_no_file(path)}; {known[0][0].source} was evaluated on it. Start from the folder "
            "it was evaluated in, or name the annotations: --val-data SOURCE IMAGES"
        )
    return find_parts(Path(there[0].annotations), None, there[0].split)[0]


def _refuse_other_data(
    first: tuple[SavedResults, SavedMetrics], other: tuple[SavedResults, SavedMetrics], *, by_user: bool
) -> None:
    (one, metrics), (another, other_metrics) = first, other
    made_from, other_made_from = metrics.made_from, other_metrics.made_from
    if made_from.annotations_sha256 != other_made_from.annotations_sha256 and not by_user:
        raise DataError(
            f"{one.source} was evaluated on {made_from.annotations}, {another.source} on "
            f"{other_made_from.annotations}, which are not the same annotations: such numbers cannot be "
            "compared. Evaluate both on the same with hrdet eval --val-data SOURCE IMAGES, and compare the "
            "folders it names; or, if all pictures are the same, score what was saved on one of them with "
            "hrdet compare --val-data SOURCE IMAGES"
        )
    differing = set(metrics.class_names) ^ set(other_metrics.class_names)
    if differing:
        raise DataError(
            f"{one.source} was evaluated on {counted(len(metrics.classes), 'class', 'classes')}, "
            f"{another.source} on {len(other_metrics.classes)}; they differ in "
            f"{first_few(sorted(map(repr, differing)))}: such numbers cannot be compared. Evaluate both with "
            "the same data.classes"
        )


def _has_masks(results: SavedResults) -> bool:
    if results.metrics is not None:
        return results.metrics.mask is not None
    try:
        with results.detections.open("rb") as file:
            return b'"segmentation"' in file.read(_START_BYTES)
    except OSError as error:
        raise DataError(f"{results.detections}: cannot be read: {error.strerror}") from error


def _with_classes_of(annotations: CocoAnnotations, metrics: SavedMetrics) -> CocoAnnotations:
    names = metrics.class_names
    if names == annotations.class_names:
        return annotations
    if names == (ANY_CLASS,) and ANY_CLASS not in annotations.class_names:
        return annotations.as_one_class()
    return with_classes_alone(annotations, names)


def _common_limits(all_metrics: Sequence[SavedMetrics]) -> tuple[int, ...]:
    """Limits that all have numbers of, such as AR300."""
    limits = [
        {int(name[2:]) for name in metrics.box if name.startswith("AR") and name[2:].isdigit()}
        for metrics in all_metrics
    ]
    common = set.intersection(*limits) if limits else set()
    return tuple(sorted(limit for limit in common if limit > COCO_LIMITS[-1]))
