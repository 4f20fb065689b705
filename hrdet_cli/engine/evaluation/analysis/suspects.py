"""Annotations that are perhaps wrong, judged by what a detector finds.

None of this is certain: each suspect is a picture to look at. Suspect is what a confident detector
contradicts, and what nobody would annotate so, such as a box drawn twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from hrdet_cli.engine.evaluation.analysis.errors import BACKGROUND_OVERLAP, ErrorKind, Errors
from hrdet_cli.engine.evaluation.analysis.matching import OVERLAP, Matching
from hrdet_cli.engine.evaluation.analysis.overlaps import rows_by_picture
from hrdet_cli.engine.evaluation.comparison import SIZES, Comparison

SuspectKind = Literal["box missing", "class", "place", "nothing there", "labelled twice"]
"""Box missing: a confident detection, and nothing is annotated there. Class: one of another class at the box.
Place: one of the class that overlaps the box too little. Nothing there: no detection at all overlaps the box,
where others of its class and size are found. Labelled twice: two boxes at one place."""

KINDS: tuple[SuspectKind, ...] = get_args(SuspectKind)

CONFIDENT = 0.5
"""No detection below this score makes an annotation suspect."""
_SAME_PLACE, _STILL_NEAR = 0.9, 0.4
_SIMILAR_FOUND = 0.8
_FEWEST_SIMILAR = 10


@dataclass(frozen=True, slots=True)
class Suspect:
    """An annotation, or the lack of one, that is perhaps wrong.

    Attributes:
        kind: What is perhaps wrong.
        strength: How strong the suspicion is, in [0, 1]; the higher the sooner to be looked at.
        picture: Its number.
        true: The object; None where one is missing.
        found: The detection that makes it suspect; None where none does.
        twin: The other object at its place; None where it has none.
        overlap: With the detection or the twin; 0 without one.
    """

    kind: SuspectKind
    strength: float
    picture: int
    true: int | None = None
    found: int | None = None
    twin: int | None = None
    overlap: float = 0.0


def find_suspects(
    comparison: Comparison, matching: Matching, errors: Errors, *, min_score: float
) -> list[Suspect]:
    """Look for suspect annotations, the most suspect first; each annotation once.

    Args:
        comparison: Of boxes.
        matching: Of it.
        errors: Of it.
        min_score: Of the operating point; of detections below it, or below `CONFIDENT`, none is listened to.
    """
    evidence = _Evidence(comparison, matching, errors, max(min_score, CONFIDENT))
    found = [
        *evidence.missing_boxes(),
        *evidence.other_classes(),
        *evidence.other_places(),
        *evidence.nothing_there(),
        *evidence.labelled_twice(),
    ]
    taken: set[int] = set()
    suspects = []
    for suspect in sorted(found, key=lambda suspect: -suspect.strength):
        if suspect.true is None or suspect.true not in taken:
            suspects.append(suspect)
            taken |= {one for one in (suspect.true, suspect.twin) if one is not None}
    return suspects


@dataclass(frozen=True, slots=True, eq=False)
class _Evidence:
    comparison: Comparison
    matching: Matching
    errors: Errors
    min_score: float

    def missing_boxes(self) -> Iterator[Suspect]:
        """Confident detections where nothing is, the best one at each place."""
        rows = self._confident("background")
        pictures = self.comparison.found.pictures[rows]
        for members in np.split(rows, np.flatnonzero(np.diff(pictures)) + 1) if len(rows) else ():
            picture = int(self.comparison.found.pictures[members[0]])
            taken: list[int] = []
            for row in members[np.argsort(-self.comparison.scores[members], kind="stable")].tolist():
                overlaps = self._overlaps(row, taken)
                if overlaps.max(initial=0) < OVERLAP and not self._is_in_crowd(row, picture):
                    taken.append(row)
                    yield Suspect("box missing", float(self.comparison.scores[row]), picture, found=row)

    def other_classes(self) -> Iterator[Suspect]:
        """Objects that a detection takes for another class, more surely than one takes them for theirs."""
        own_scores = np.zeros(len(self.matching.counts))
        right = np.flatnonzero(self.matching.is_right)
        own_scores[self.matching.objects[right]] = self.comparison.scores[right]
        for row in self._confident("class").tolist():
            true = int(self.errors.partners[row])
            strength = float(self.comparison.scores[row] - own_scores[true])
            if strength > 0:
                yield self._of_detection("class", strength, row)

    def other_places(self) -> Iterator[Suspect]:
        """Objects that nothing finds, with a confident detection of their class beside them."""
        for row in self._confident("location").tolist():
            true = int(self.errors.partners[row])
            is_unfound = self.matching.counts[true] and not self.matching.is_found[true]
            if is_unfound and self.errors.overlaps[row] < _STILL_NEAR:
                away = 1 - float(self.errors.overlaps[row])
                yield self._of_detection("place", away * float(self.comparison.scores[row]), row)

    def nothing_there(self) -> Iterator[Suspect]:
        """Objects that no detection comes near, though most others of their class and size are found."""
        truth, counts = self.comparison.truth, self.matching.counts
        sizes = np.digitize(truth.areas, [ends[0] for name, ends in SIZES.items() if name][1:])
        groups = truth.classes * len(SIZES) + sizes
        num_similar = np.bincount(groups[counts], minlength=1)
        num_found = np.bincount(groups[counts & self.matching.is_found], minlength=len(num_similar))
        for true in np.flatnonzero(counts & (self.errors.nearest < BACKGROUND_OVERLAP)).tolist():
            of_group = int(num_similar[groups[true]])
            share = int(num_found[groups[true]]) / of_group
            if of_group >= _FEWEST_SIMILAR and share >= _SIMILAR_FOUND:
                yield Suspect("nothing there", share, int(truth.pictures[true]), true=true)

    def labelled_twice(self) -> Iterator[Suspect]:
        """Pairs of objects at one place; of different classes too, unless an object may have several."""
        truth, counts = self.comparison.truth, self.matching.counts
        rows_of_pictures = rows_by_picture(truth.pictures, len(self.comparison.picture_sizes))
        for picture, rows in enumerate(rows_of_pictures):
            rows = rows[counts[rows]]
            if len(rows) < 2:
                continue
            boxes = truth.boxes[rows]
            overlaps = np.triu(coco_mask.iou(boxes, boxes, np.zeros(len(rows), dtype=np.uint8)), k=1)
            if self.comparison.federated is not None:
                overlaps *= truth.classes[rows][:, None] == truth.classes[rows][None]
            for first, second in np.argwhere(overlaps >= _SAME_PLACE).tolist():
                overlap = float(overlaps[first, second])
                yield Suspect(
                    "labelled twice",
                    overlap,
                    picture,
                    true=int(rows[second]),
                    twin=int(rows[first]),
                    overlap=overlap,
                )

    def _confident(self, kind: ErrorKind) -> NDArray[np.int64]:
        """Detections that are errors of a kind, in the order of the pictures."""
        rows = np.flatnonzero(self.errors.is_of(kind) & (self.comparison.scores >= self.min_score))
        return rows[np.argsort(self.comparison.found.pictures[rows], kind="stable")]

    def _of_detection(self, kind: SuspectKind, strength: float, row: int) -> Suspect:
        return Suspect(
            kind,
            strength,
            int(self.comparison.found.pictures[row]),
            true=int(self.errors.partners[row]),
            found=row,
            overlap=float(self.errors.overlaps[row]),
        )

    def _overlaps(self, row: int, others: list[int]) -> NDArray[np.float64]:
        boxes = self.comparison.found.boxes
        if not others:
            return np.zeros(0)
        overlaps: NDArray[np.float64] = coco_mask.iou(
            boxes[[row]], boxes[others], np.zeros(len(others), dtype=np.uint8)
        )[0]
        return overlaps

    def _is_in_crowd(self, row: int, picture: int) -> bool:
        """Whether half of a detection lies in a crowd region of any class, where objects need no box."""
        truth = self.comparison.truth
        crowd = np.flatnonzero(self.comparison.is_crowd & (truth.pictures == picture))
        if not len(crowd):
            return False
        shares = coco_mask.iou(
            self.comparison.found.boxes[[row]], truth.boxes[crowd], np.ones(len(crowd), dtype=np.uint8)
        )
        return bool(shares.max() >= OVERLAP)
