"""What ``hrdet compare`` found."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hrdet_cli.engine.evaluation.analysis.matching import Matching
from hrdet_cli.engine.evaluation.analysis.operating_point import OperatingPoint
from hrdet_cli.engine.evaluation.analysis.picture_errors import PictureErrors
from hrdet_cli.engine.evaluation.coco_metrics import CocoMetrics
from hrdet_cli.engine.evaluation.comparison import Task
from hrdet_cli.engine.evaluation.preparation import PreparedComparison
from hrdet_cli.engine.evaluation.resampling.differences import CONFIDENCE, Difference
from hrdet_cli.runs.compare.common_data import CommonData
from hrdet_cli.runs.compare.saved_results import SavedResults
from hrdet_cli.runs.compare.spec_differences import SpecDifference, SpecValues

SCORE_OF_NOTHING = 0.5
"""Taken where no detection is right, so that no score is the best one."""
MAIN_NUMBER = "AP"
"""By which one says of a comparison how it ended."""


@dataclass(frozen=True, slots=True, eq=False)
class ComparedRun:
    """A detector.

    Attributes:
        results: Where its detections lie.
        metrics: What it scores.
        boxes: Its boxes and those that there are.
        matching: Which of its boxes are right, at an overlap of one half.
        point: The score from which on its detections are best taken; None where none is right.
        errors: What is wrong from that score on, picture by picture in the numbers of ``boxes``.
        spec: How it was trained; or why nobody knows, in words.
    """

    results: SavedResults
    metrics: CocoMetrics
    boxes: PreparedComparison
    matching: Matching
    point: OperatingPoint | None
    errors: PictureErrors
    spec: SpecValues | str

    @property
    def min_score(self) -> float:
        """The score from which on its detections are taken where pictures are looked at."""
        return SCORE_OF_NOTHING if self.point is None else self.point.score

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        saved, point = self.results.metrics, self.point
        made_from = None if saved is None else saved.made_from
        return {
            "source": self.results.source,
            "detections": str(self.results.detections),
            "weights": None if made_from is None else made_from.weights,
            "step": None if made_from is None else made_from.step,
            "epoch": None if made_from is None else made_from.epoch,
            "precision": None if made_from is None else made_from.precision,
            "hrdet": None if made_from is None else made_from.hrdet,
            "best_f1": None if point is None else {"f1": point.f1, **asdict(point)},
            **self.metrics.to_json(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One detector, or several that are trained alike.

    Attributes:
        letter: What it is called.
        runs: One or more.
    """

    letter: str
    runs: Sequence[ComparedRun]

    def numbers_of(self, task: Task, name: str) -> list[float]:
        """A number of each run; none where there is nothing to average."""
        numbers = [run.metrics.numbers[task][name] for run in self.runs]
        return [number for number in numbers if number is not None]

    def numbers_of_class(self, task: Task, class_name: str) -> list[float]:
        """Likewise the average precision of a class."""
        numbers = [run.metrics.tasks[task].classes[class_name].average_precision for run in self.runs]
        return [number for number in numbers if number is not None]


@dataclass(frozen=True, slots=True)
class TaskDifferences:
    """Of boxes, or of masks.

    Attributes:
        numbers: By name; None where there is nothing to average.
        classes: By class AP and AP50, likewise.
    """

    numbers: Mapping[str, Difference | None]
    classes: Mapping[str, Mapping[str, Difference | None]]

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "numbers": {name: _to_json(difference) for name, difference in self.numbers.items()},
            "classes": {
                class_name: {name: _to_json(difference) for name, difference in of_class.items()}
                for class_name, of_class in self.classes.items()
            },
        }


@dataclass(frozen=True, slots=True)
class PictureDifference:
    """A picture in which two detectors do not make as many errors.

    Attributes:
        picture: Its number among those compared.
        file_name: Its file.
        num_objects: Objects to be found.
        num_missed: How many the baseline does not find, and how many the other one.
        num_false: Likewise false detections.
    """

    picture: int
    file_name: str
    num_objects: int
    num_missed: tuple[int, int]
    num_false: tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class SideDifference:
    """A side against the baseline.

    Attributes:
        side: The other one.
        tasks: Differences, this side's numbers minus the baseline's.
        counts_trainings: Whether intervals are of trainings, too, not of pictures alone.
        pictures: In which the first runs of both differ most.
    """

    side: Side
    tasks: Mapping[Task, TaskDifferences]
    counts_trainings: bool
    pictures: Sequence[PictureDifference]

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "side": self.side.letter,
            "intervals_count_trainings": self.counts_trainings,
            **{task: differences.to_json() for task, differences in self.tasks.items()},
            "pictures": [asdict(picture) for picture in self.pictures],
        }


@dataclass(frozen=True, slots=True, eq=False)
class DetectorComparison:
    """Detectors against the first one.

    Attributes:
        data: What all were scored on.
        sides: The baseline first.
        differences: Each other side against it.
        specs: Keys in which specs differ; None where not all are known.
        notices: What the user should be told.
        num_resamples: Of the pictures.
        seed: Of these.
    """

    data: CommonData
    sides: Sequence[Side]
    differences: Sequence[SideDifference]
    specs: Sequence[SpecDifference] | None
    notices: Sequence[str]
    num_resamples: int
    seed: int

    @property
    def baseline(self) -> Side:
        """With which all others are compared."""
        return self.sides[0]

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        annotations = self.data.annotations
        return {
            "data": {
                "annotations": str(annotations.path),
                "split": annotations.split,
                "annotations_sha256": annotations.fingerprint,
                "num_pictures": self.data.num_pictures,
                "num_left_out": len(self.data.left_out),
            },
            "intervals": {
                "confidence": CONFIDENCE,
                "num_resamples": self.num_resamples,
                "seed": self.seed,
            },
            "sides": [
                {"side": side.letter, "runs": [run.to_json() for run in side.runs]} for side in self.sides
            ],
            "baseline": self.baseline.letter,
            "differences": [of_side.to_json() for of_side in self.differences],
            "specs": None
            if self.specs is None
            else {
                difference.key: {
                    side.letter: list(values)
                    for side, values in zip(self.sides, difference.values, strict=True)
                }
                for difference in self.specs
            },
            "notes": list(self.notices),
        }


def _to_json(difference: Difference | None) -> dict[str, Any] | None:
    if difference is None:
        return None
    return {
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "num_pictures": difference.num_pictures,
        "verdict": difference.verdict,
    }
