"""What is wrong between the data sets of an experiment: classes that differ, and pictures in both parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hrdet_cli.engine.data.checking.annotations import CheckedFile
from hrdet_cli.engine.data.checking.problems import OTHER_CATEGORIES, SHARED_PICTURES, Problem, ProblemLog
from hrdet_cli.engine.data.joined_annotations import join_categories
from hrdet_cli.runs.joined_sets import differences_of_classes
from hrdet_cli.wording import first_few

Categories = list[tuple[int, str]]


@dataclass(frozen=True, slots=True, eq=False)
class Gist:
    """What other data sets have to agree with.

    Attributes:
        images: Where the pictures are; None where nobody says.
        names: Of the pictures.
        categories: Ids and names in their order.
    """

    images: Path | None
    names: frozenset[str | None]
    categories: Categories

    @classmethod
    def of(cls, file: CheckedFile, images: Path | None) -> "Gist":
        """That of a file whose pictures are there."""
        return cls(
            None if images is None else images.resolve(), frozenset(file.pictures.names), file.categories
        )


@dataclass(frozen=True, slots=True, eq=False)
class TrainedOn:
    """Data sets to train on, which what is evaluated on has to agree with.

    Attributes:
        sets: At least one.
        classes: What the experiment takes of their classes; None for all.
    """

    sets: Sequence[Gist]
    classes: Sequence[str] | None = None

    def compare(self, file: CheckedFile, images: Path | None, log: ProblemLog) -> None:
        """Tell how a validation part does not agree with them."""
        sets = self.sets if self.classes is not None else self.sets[:1]  # all have the same
        expected = self._chosen(join_categories([one.categories for one in sets]))
        found = self._chosen(file.categories)
        if found != expected and not (len(self.sets) > 1 and _names_of(found) == _names_of(expected)):
            differing = sorted(set(found) ^ set(expected))
            detail = first_few([f"{name} (id {number})" for number, name in differing]) or "their order"
            what = f"its categories are not those of the training data; they differ in {detail}"
            log.add_one(Problem(OTHER_CATEGORIES, file.path.name, None, what))
        root, names = (None if images is None else images.resolve()), frozenset(file.pictures.names) - {None}
        trained = [one.names for one in self.sets if root is not None and one.images == root]
        num_shared = len(names.intersection(frozenset[str | None]().union(*trained)))
        if num_shared:
            are = "is a training picture" if num_shared == 1 else "are training pictures"
            what = f"{num_shared:,} of its pictures {are} too: its scores will flatter"
            log.add_one(Problem(SHARED_PICTURES, file.path.name, None, what))

    def _chosen(self, categories: Categories) -> Categories:
        if self.classes is None:
            return categories
        ids = {name: number for number, name in categories}
        return [(ids[name], name) for name in self.classes if name in ids]


def _names_of(categories: Categories) -> list[str]:
    """Several data sets are joined by them, whatever their ids and order."""
    return sorted(name for _, name in categories)


@dataclass(frozen=True, slots=True, eq=False)
class JoinedWith:
    """The first of several data sets to train on, whose classes the others must have."""

    first: Gist

    def compare(self, file: CheckedFile, _: Path | None, log: ProblemLog) -> None:
        """Tell how another data set does not agree with it."""
        ours, theirs = ([name for _, name in each] for each in (self.first.categories, file.categories))
        if differences := differences_of_classes(ours, theirs):
            what = f"its categories are not those of the first training data: {differences}"
            log.add_one(Problem(OTHER_CATEGORIES, file.path.name, None, what))
