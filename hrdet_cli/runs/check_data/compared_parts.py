"""What is wrong between the data sets of an experiment: classes that differ, and pictures of several."""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hrdet_cli.engine.data.checking.annotations import CheckedFile
from hrdet_cli.engine.data.checking.problems import (
    MISSING_CLASS,
    OTHER_CATEGORIES,
    REPEATED_PICTURES,
    SHARED_PICTURES,
    Problem,
    ProblemLog,
)
from hrdet_cli.engine.data.joined_annotations import join_categories
from hrdet_cli.runs.dataset.classes import differences_of_classes
from hrdet_cli.wording import first_few

Categories = list[tuple[int, str]]
Sign = str | bytes
"""Tells that two pictures are the same: where the file is, or a digest of its content."""


@dataclass(frozen=True, slots=True, eq=False)
class Gist:
    """What other data sets have to agree with.

    Attributes:
        signs: Of its pictures, each with the name of its picture.
        categories: Ids and names in their order.
    """

    signs: Sequence[tuple[Sign, str]]
    categories: Categories

    @classmethod
    def of(cls, file: CheckedFile, images: Path | None, digests: Mapping[int, bytes]) -> "Gist":
        """That of a file.

        Args:
            file: The file.
            images: Where its pictures are; None where nobody says.
            digests: Of those that were opened, by their rows.
        """
        names = file.pictures.names
        signs: list[tuple[Sign, str]] = [(digest, names[row] or "") for row, digest in digests.items()]
        if images is not None:
            place = images.resolve().as_posix()
            named = (name for name in names if name is not None)
            signs += [(posixpath.normpath(f"{place}/{name}"), name) for name in named]
        return cls(signs, file.categories)

    def shared_with(self, others: Sequence["Gist"]) -> dict[str, str]:
        """Names of pictures that others have too, each with the name that it has there."""
        theirs = {sign: name for other in others for sign, name in other.signs}
        return {name: theirs[sign] for sign, name in self.signs if sign in theirs}


@dataclass(frozen=True, slots=True, eq=False)
class TrainedOn:
    """Data sets to train on, which what is evaluated on has to agree with.

    Attributes:
        sets: At least one.
        classes: What the experiment takes of their classes; None for all.
    """

    sets: Sequence[Gist]
    classes: Sequence[str] | None = None

    def compare(self, file: str, gist: Gist, log: ProblemLog) -> None:
        """Tell how a validation part does not agree with them."""
        sets = self.sets if self.classes is not None else self.sets[:1]  # all have the same
        expected = self._chosen(join_categories([one.categories for one in sets]))
        found = self._chosen(gist.categories)
        if found != expected and not (len(self.sets) > 1 and _names_of(found) == _names_of(expected)):
            differing = sorted(set(found) ^ set(expected))
            detail = first_few([f"{name} (id {number})" for number, name in differing]) or "their order"
            what = f"its categories are not those of the training data; they differ in {detail}"
            log.add_one(Problem(OTHER_CATEGORIES, file, None, what))
        if shared := gist.shared_with(self.sets):
            are = "is a training picture" if len(shared) == 1 else "are training pictures"
            what = f"{len(shared):,} of its pictures {are} too{_example(shared)}: its scores will flatter"
            log.add_one(Problem(SHARED_PICTURES, file, None, what))

    def _chosen(self, categories: Categories) -> Categories:
        if self.classes is None:
            return categories
        ids = {name: number for number, name in categories}
        return [(ids[name], name) for name in self.classes if name in ids]


@dataclass(frozen=True, slots=True, eq=False)
class JoinedWith:
    """Data sets that another one is trained on with.

    Attributes:
        sets: Those before it; the others are compared with the first.
        classes: What the experiment takes of their classes, which a set may lack, but not all; None for all.
        is_last: Whether no other one follows.
    """

    sets: Sequence[Gist]
    classes: Sequence[str] | None
    is_last: bool

    def compare(self, file: str, gist: Gist, log: ProblemLog) -> None:
        """Tell how another data set does not agree with them, and what all of them lack."""
        names = [[name for _, name in each.categories] for each in (*self.sets, gist)]
        if self.classes is None and (differences := differences_of_classes(names[0], names[-1])):
            what = f"its categories are not those of the first training data: {differences}"
            log.add_one(Problem(OTHER_CATEGORIES, file, None, what))
        lacking = [repr(name) for name in self.classes or () if not any(name in each for each in names)]
        if lacking and self.is_last:
            what = (
                f"data.classes names what no training data have: {first_few(lacking)}; name some of their "
                "categories, or all with data.classes=null"
            )
            log.add_one(Problem(MISSING_CLASS, file, None, what))
        if shared := gist.shared_with(self.sets):
            are = "is" if len(shared) == 1 else "are"
            what = (
                f"{len(shared):,} of its pictures {are} in training data before it too{_example(shared)}: "
                "training shows them for each"
            )
            log.add_one(Problem(REPEATED_PICTURES, file, None, what))


def _names_of(categories: Categories) -> list[str]:
    """Several data sets are joined by them, whatever their ids and order."""
    return sorted(name for _, name in categories)


def _example(shared: Mapping[str, str]) -> str:
    name, other = next(iter(shared.items()))
    return f", such as {name}" + (f", which is {other} there" if name != other else "")
