"""Categories of a file that stand for no object."""

import numpy as np

from hrdet_cli.engine.data.checking.annotations import CheckedFile
from hrdet_cli.engine.data.checking.problems import SPARE_CATEGORY, Problem, ProblemLog
from hrdet_cli.engine.data.spare_categories import spare_categories


def note_spare_categories(file: CheckedFile, log: ProblemLog) -> None:
    """Tell of categories that group the others, or are the background."""
    kinds = file.kinds
    has_annotations = np.isin(np.arange(len(kinds)), file.annotations.labels).tolist()
    said = spare_categories(
        [str(item.get("name", "")) for item in kinds.items],
        [item.get("supercategory") for item in kinds.items],
        has_annotations,
    )
    for what in said.values():
        log.add_one(Problem(SPARE_CATEGORY, file.path.name, None, what))
