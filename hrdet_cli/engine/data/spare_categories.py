"""Categories that stand for no object: what groups the others, and the background."""

from collections.abc import Sequence
from typing import Any

from hrdet_cli.wording import counted

_NO_OBJECTS = ("background", "bg", "ignore")


def spare_categories(
    names: Sequence[str], supercategories: Sequence[Any], has_annotations: Sequence[bool]
) -> dict[int, str]:
    """Categories that no annotation is of and that, by their names, none can be of.

    Roboflow writes one that has the project's name and is the supercategory of all others; labelme and the
    code of some detectors have one for the background. In both cases a detector gets a class more than there
    are kinds of objects, and labels start at another number.

    Args:
        names: Of all K categories.
        supercategories: What they give as theirs, whatever it is.
        has_annotations: Whether any annotation is of them.

    Returns:
        What is said of each, by its label.
    """
    said = {}
    for label, name in enumerate(names):
        if has_annotations[label] or len(names) < 2:
            continue
        num_grouped = sum(
            isinstance(group, str) and group.strip().lower() == name.strip().lower()
            for other, group in enumerate(supercategories)
            if other != label
        )
        if num_grouped:
            others = "all others" if num_grouped == len(names) - 1 else counted(num_grouped, "other")
            reason = f"is the supercategory of {others}, as Roboflow writes it"
        elif name.strip("_ ").lower() in _NO_OBJECTS:
            reason = "is called like what is no object, for which detectors need no category"
        else:
            continue
        said[label] = (
            f"category {name!r} has no box and {reason}: training learns "
            f"{counted(len(names), 'class', 'classes')}, one of which nothing is. Take it out of the "
            "categories in the files of both parts"
        )
    return said
