"""Training and evaluation on some classes of the data."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.errors import DataError
from hrdet_cli.wording import first_few


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
