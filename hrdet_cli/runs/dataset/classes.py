"""The classes of data sets: chosen ones, and those of two that have to be the same."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.errors import DataError
from hrdet_cli.wording import command, first_and_count, first_few

_MOST_SHOWN = 5


def with_classes_alone(annotations: CocoAnnotations, names: Sequence[str]) -> CocoAnnotations:
    """The annotations of chosen classes, in the order in which these were chosen.

    Args:
        annotations: Of all classes of a file.
        names: Those of ``data.classes``.

    Raises:
        DataError: The file lacks some of them; says what is like them.
    """
    label_by_name = {name: label for label, name in enumerate(annotations.class_names)}
    unknown = [name for name in names if name not in label_by_name]
    if unknown:
        near = ", ".join(_with_near(name, label_by_name) for name in unknown)
        raise DataError(
            f"{annotations.title}: data.classes names categories that it lacks: {near}. It has "
            f"{first_few(list(map(repr, label_by_name)))}: name some of them, or all with data.classes=null"
        )
    return annotations.of_labels([label_by_name[name] for name in names])


def _with_near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.6) or [
        other for other in known if other.casefold() == name.casefold()
    ]
    return f"{name!r} (is it {near[0]!r}?)" if near else repr(name)


def with_classes_of(train: CocoAnnotations, other: CocoAnnotations) -> CocoAnnotations:
    """A validation part whose labels are the training part's.

    It must have the same classes, ids and order included; where several data sets are joined by the names of
    their classes, the same names.

    Raises:
        DataError: It has others.
    """
    is_joined = train.set_numbers is not None
    if is_joined and sorted(train.class_names) == sorted(other.class_names):
        return other.of_labels([other.class_names.index(name) for name in train.class_names])
    ours = dict(zip(train.category_ids, train.class_names, strict=True))
    theirs = dict(zip(other.category_ids, other.class_names, strict=True))
    if list(ours.items()) == list(theirs.items()):
        return other
    differing = sorted(set(ours.items()) ^ set(theirs.items()))[:_MOST_SHOWN]
    detail = ", ".join(f"{name} (id {number})" for number, name in differing) or "their order"
    raise DataError(
        f"{other.title}: its categories are not those of {train.title}; they differ in {detail}. "
        "Give both files the same list of categories, name other validation data with --val-data JSON "
        "IMAGES, or train without: --set data.val=null"
    )


def require_same_classes(first: CocoAnnotations, other: CocoAnnotations) -> None:
    """Refuse to join data sets of different classes.

    Raises:
        DataError: One lacks classes of the other.
    """
    differences = differences_of_classes(first.class_names, other.class_names)
    if not differences:
        return
    common = [name for name in first.class_names if name in other.class_names]
    both = f" To train on what both have: {command('--set', f'data.classes={common}')}." if common else ""
    raise DataError(
        f"{other.title}: its categories are not those of {first.title}: {differences}. Objects "
        f"that one of them has no category for would be learnt as background.{both} If its pictures show "
        "none, name all classes to train on in data.classes, which a data set may then lack."
    )


def differences_of_classes(first: Sequence[str], other: Sequence[str]) -> str:
    """What a data set lacks of the classes of another, and has more, in words; empty for the same ones."""
    missing = [repr(name) for name in first if name not in other]
    additional = [repr(name) for name in other if name not in first]
    differences = []
    if missing:
        differences.append(f"it lacks {first_and_count(missing)}")
    if additional:
        differences.append(f"it alone has {first_and_count(additional)}")
    return " and ".join(differences)
