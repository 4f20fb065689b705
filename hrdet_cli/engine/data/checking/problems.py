"""What can be wrong with a data set, kind by kind, and a log of what is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Severity = Literal["error", "warning", "note"]

LEFT_OUT = "left out"
LEFT_OUT_WITH_BOXES = "left out with its annotations"
BY_HAND = "mend it by hand"
BY_FORM = "converted where --boxes names the form"
KEPT = "kept"
REFUSED = "refuses the file"
LEAVES_OUT = "leaves it out, and counts it"
MEETS_IT = "ends where it meets one, or takes another (data.broken_pictures)"
UNAWARE = "does not look"
KNOWS_PLACES = "says so of files of one path, and uses them"
REFUSES_MASKS = "with masks: refuses the file"


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem. docs/data.md has a row for each, with these words.

    Attributes:
        name: A few words that stand before a count.
        severity: ``error`` where training refuses such data or cannot use a picture, ``warning`` where it
            goes on without what is wrong, ``note`` for what may be wrong with the data as a whole.
        training: What training, evaluation and the plan do about it.
        fix: What becomes of it in a cleaned file; ``BY_HAND`` where no cleaned file can be made.
        refused_with_masks: Whether it is an error where the head has masks, and a warning elsewhere.
    """

    name: str
    severity: Severity
    training: str
    fix: str
    refused_with_masks: bool = False

    @property
    def is_error(self) -> bool:
        """Whether training could not use such data as they are."""
        return self.severity == "error"


BROKEN_LIST = ProblemKind("broken list", "error", REFUSED, BY_HAND)
BROKEN_CATEGORY = ProblemKind("broken category", "error", REFUSED, BY_HAND)
OTHER_CATEGORIES = ProblemKind("categories differ", "error", "refuses the two files", BY_HAND)
MISSING_CLASS = ProblemKind("chosen class missing", "error", REFUSED, BY_HAND)
NO_TARGETS = ProblemKind("no picture has a box", "error", REFUSED, BY_HAND)
FOREIGN_BOXES = ProblemKind("boxes in another form", "error", REFUSED, "converted")
UNDECLARED_BOXES = ProblemKind("boxes as in another form", "error", REFUSED, "said to be COCO's")
FOREIGN_SHARES = ProblemKind("boxes in shares of some form", "error", REFUSED, BY_FORM)
NUMBER_FORM = ProblemKind("number in another form", "error", REFUSED, "the number")
TEXT_ID = ProblemKind("id that is a text", "error", REFUSED, "a number")
BROKEN_PICTURE = ProblemKind("broken picture entry", "error", REFUSED, LEFT_OUT_WITH_BOXES)
MISSING_SIZE = ProblemKind("width or height missing", "error", REFUSED, "the opened picture's")
REPEATED_PICTURE_ID = ProblemKind("picture id repeated", "error", REFUSED, LEFT_OUT_WITH_BOXES)
REPEATED_FILE = ProblemKind("file listed again", "error", REFUSED, "joined with the first entry of its file")
BROKEN_ANNOTATION = ProblemKind("broken annotation", "error", REFUSED, LEFT_OUT)
BROKEN_LABEL_FILE = ProblemKind("broken label file", "error", REFUSED, "left out with its picture")
UNKNOWN_PICTURE = ProblemKind("unknown picture", "error", REFUSED, LEFT_OUT)
UNKNOWN_CATEGORY = ProblemKind("unknown category", "error", REFUSED, LEFT_OUT)
BROKEN_ID = ProblemKind("annotation id missing or repeated", "error", REFUSED, "a new id")
BROKEN_AREA = ProblemKind("broken area", "error", REFUSED, "the box's area")
MISSING_PICTURE = ProblemKind("picture missing", "error", "refuses the data", LEFT_OUT_WITH_BOXES)
CONTRADICTORY_PICTURE = ProblemKind(
    "several members of one name", "error", "refuses the data", LEFT_OUT_WITH_BOXES
)
UNREADABLE_PICTURE = ProblemKind("picture unreadable", "error", MEETS_IT, LEFT_OUT_WITH_BOXES)
WRONG_SIZE = ProblemKind("picture of another size", "error", MEETS_IT, LEFT_OUT_WITH_BOXES)
EXCHANGED_SIZES = ProblemKind("width and height exchanged", "error", MEETS_IT, "exchanged back")
NON_FINITE = ProblemKind("NaN or Infinity", "warning", UNAWARE, "null")
REPEATED_KEY = ProblemKind("key given twice", "warning", UNAWARE, "the last value")
THIN_BOX = ProblemKind("box thinner than a pixel", "warning", LEAVES_OUT, LEFT_OUT)
OUTSIDE_BOX = ProblemKind("box outside its picture", "warning", LEAVES_OUT, LEFT_OUT)
OVERHANGING_BOX = ProblemKind(
    "box reaching out of its picture", "warning", "clips it", "clipped to the picture"
)
DAMAGED_PIXELS = ProblemKind("damaged JPEG data", "warning", "trains on it, and counts such pictures", KEPT)
IMPOSSIBLE_AREA = ProblemKind("impossible area", "warning", UNAWARE, "the box's area")
RESPELT_FILE = ProblemKind("file listed in another spelling", "warning", "learns it twice", KEPT)
REPEATED_BOX = ProblemKind("box repeated", "warning", "learns it twice", KEPT)
NO_MASKS = ProblemKind("no object has a mask", "error", REFUSES_MASKS, BY_HAND)
BROKEN_MASK = ProblemKind("broken mask", "warning", REFUSES_MASKS, "an empty one", refused_with_masks=True)
MASK_FORM = ProblemKind(
    "mask in another form", "warning", REFUSES_MASKS, "the polygons", refused_with_masks=True
)
FEW_CORNERS = ProblemKind("polygon of too few corners", "warning", "with masks: leaves it out", LEFT_OUT)
EMPTY_MASK = ProblemKind("empty mask", "warning", "with masks: leaves the object out, and counts it", KEPT)
OVERHANGING_MASK = ProblemKind("mask reaching out of its picture", "warning", "with masks: cuts it off", KEPT)
FOREIGN_MASK = ProblemKind(
    "mask that does not fit its box", "warning", "with masks: uses what is in the box", KEPT
)
MISSING_MAP = ProblemKind("label map missing", "error", "refuses the data", BY_HAND)
UNREADABLE_MAP = ProblemKind("label map unreadable", "error", MEETS_IT, BY_HAND)
WRONG_MAP_SIZE = ProblemKind("label map of another size", "error", MEETS_IT, BY_HAND)
UNKNOWN_LABEL = ProblemKind("unknown label", "error", MEETS_IT, BY_HAND)
SUSPECT_BOXES = ProblemKind("boxes perhaps in another form", "note", "says so", KEPT)
NO_TARGETS_ALONE = ProblemKind("no box in a file by itself", "note", "refuses it as training part", KEPT)
SHARED_PICTURES = ProblemKind("pictures of both parts", "note", KNOWS_PLACES, KEPT)
REPEATED_PICTURES = ProblemKind("pictures of several data sets", "note", KNOWS_PLACES, KEPT)
ODD_NAMES = ProblemKind("names spelt otherwise", "note", "finds the pictures all the same, and says so", KEPT)
SPARE_CATEGORY = ProblemKind(
    "category of no object", "note", "says so, and learns a class that nothing is of", KEPT
)
SOME_MASKS = ProblemKind(
    "objects without a mask", "note", "with masks: leaves them out, and counts them", KEPT
)
RESCALED_PICTURES = ProblemKind("pictures scaled or turned", "note", MEETS_IT, LEFT_OUT_WITH_BOXES)


def where_masks_matter(kind: ProblemKind) -> ProblemKind:
    """The kind as it is where the head has masks."""
    return replace(kind, severity="error")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    Attributes:
        kind: Its kind.
        file: The picture it concerns, or the annotation file.
        item: The entry, such as ``annotations[12] (id 345)``; None for the file as a whole.
        what: What is wrong there, and with what was expected.
        count: How many problems of one cause it stands for.
    """

    kind: ProblemKind
    file: str
    item: str | None
    what: str
    count: int = 1


class ProblemLog:
    """Counts every problem and describes the first ones of each kind.

    Args:
        num_described: How many of each kind; None describes all.
    """

    def __init__(self, *, num_described: int | None) -> None:
        self._num_described = num_described
        self._problems: dict[ProblemKind, list[Problem]] = {}
        self._counts: dict[ProblemKind, int] = {}

    def add(self, kind: ProblemKind, rows: Sequence[int], describe: Callable[[int], Problem]) -> None:
        """Count a problem for each row; those within the limit are described."""
        if not len(rows):
            return
        described = self._problems.setdefault(kind, [])
        room = None if self._num_described is None else max(0, self._num_described - len(described))
        described += [describe(row) for row in rows[:room]]
        self._counts[kind] = self._counts.get(kind, 0) + len(rows)

    def add_one(self, problem: Problem) -> None:
        """Count one problem, or those of one cause that it stands for; it is described whatever the limit."""
        self._problems.setdefault(problem.kind, []).append(problem)
        self._counts[problem.kind] = self._counts.get(problem.kind, 0) + problem.count

    @property
    def counts(self) -> dict[ProblemKind, int]:
        """How many problems there are of each kind: errors first, else in the order they were found.

        Notes are not among them.
        """
        kinds = sorted(self._counts, key=lambda kind: not kind.is_error)
        return {kind: self._counts[kind] for kind in kinds if kind.severity != "note"}

    @property
    def notes(self) -> list[Problem]:
        """What may be wrong with the data as a whole."""
        return [
            problem
            for kind, problems in self._problems.items()
            if kind.severity == "note"
            for problem in problems
        ]

    def described(self) -> list[Problem]:
        """The described problems, kind by kind in the order of ``counts``."""
        return [problem for kind in self.counts for problem in self._problems[kind]]
