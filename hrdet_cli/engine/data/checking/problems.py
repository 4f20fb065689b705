"""What can be wrong with a data set, kind by kind, and a log of what is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

LEFT_OUT = "left out"
LEFT_OUT_WITH_BOXES = "left out with its annotations"
BY_HAND = "mend it by hand"


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """A kind of problem.

    Attributes:
        name: A few words that stand before a count.
        is_error: Training refuses such data; otherwise it goes on.
        fix: What becomes of it in a cleaned file; ``BY_HAND`` where no cleaned file can be made.
    """

    name: str
    is_error: bool
    fix: str

    @property
    def severity(self) -> str:
        """``error`` or ``warning``."""
        return "error" if self.is_error else "warning"


BROKEN_LIST = ProblemKind("broken list", True, BY_HAND)
BROKEN_CATEGORY = ProblemKind("broken category", True, BY_HAND)
OTHER_CATEGORIES = ProblemKind("categories differ", True, BY_HAND)
NO_TARGETS = ProblemKind("no picture has a box", True, BY_HAND)
BROKEN_PICTURE = ProblemKind("broken picture entry", True, LEFT_OUT_WITH_BOXES)
REPEATED_PICTURE_ID = ProblemKind("picture id repeated", True, LEFT_OUT_WITH_BOXES)
REPEATED_FILE = ProblemKind("file listed again", True, "joined with the first entry of its file")
BROKEN_ANNOTATION = ProblemKind("broken annotation", True, LEFT_OUT)
UNKNOWN_PICTURE = ProblemKind("unknown picture", True, LEFT_OUT)
UNKNOWN_CATEGORY = ProblemKind("unknown category", True, LEFT_OUT)
BROKEN_ID = ProblemKind("annotation id missing or repeated", True, "a new id")
BROKEN_AREA = ProblemKind("broken area", True, "the box's area")
MISSING_PICTURE = ProblemKind("picture missing", True, LEFT_OUT_WITH_BOXES)
CONTRADICTORY_PICTURE = ProblemKind("several members of one name", True, LEFT_OUT_WITH_BOXES)
UNREADABLE_PICTURE = ProblemKind("picture unreadable", True, LEFT_OUT_WITH_BOXES)
WRONG_SIZE = ProblemKind("picture of another size", True, LEFT_OUT_WITH_BOXES)
NON_FINITE = ProblemKind("NaN or Infinity", False, "null")
THIN_BOX = ProblemKind("box thinner than a pixel", False, LEFT_OUT)
OUTSIDE_BOX = ProblemKind("box outside its picture", False, LEFT_OUT)
OVERHANGING_BOX = ProblemKind("box reaching out of its picture", False, "clipped to the picture")
DAMAGED_PIXELS = ProblemKind("damaged JPEG data", False, "kept")
IMPOSSIBLE_AREA = ProblemKind("impossible area", False, "the box's area")
REPEATED_BOX = ProblemKind("box repeated", False, "kept")


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem.

    Attributes:
        kind: Its kind.
        file: The picture it concerns, or the annotation file.
        item: The entry, such as ``annotations[12] (id 345)``; None for the file as a whole.
        what: What is wrong there, and with what was expected.
    """

    kind: ProblemKind
    file: str
    item: str | None
    what: str


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
        """Count one problem."""
        self.add(problem.kind, [0], lambda _: problem)

    @property
    def counts(self) -> dict[ProblemKind, int]:
        """How many problems there are of each kind: errors first, else in the order they were found."""
        return {kind: self._counts[kind] for kind in sorted(self._counts, key=lambda kind: not kind.is_error)}

    def described(self) -> list[Problem]:
        """The described problems, kind by kind in the order of ``counts``."""
        return [problem for kind in self.counts for problem in self._problems[kind]]
