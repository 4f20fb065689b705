"""What LVIS's files say beside COCO's; `Federated` says what it means."""

from collections.abc import Mapping

from hrdet_cli.engine.data.annotation_table import Table
from hrdet_cli.engine.data.annotation_values import ID, Kind
from hrdet_cli.engine.data.federated import FREQUENCIES, Federated, pairs_of

NEGATIVES, NOT_EXHAUSTIVE = "neg_category_ids", "not_exhaustive_category_ids"
NOTE = (
    "LVIS: an evaluation on it goes by its rules: 300 detections a picture, if max_detections of the head is "
    "as high, and rare (APr), common and frequent classes apart"
)

_IDS = Kind(
    lambda value: isinstance(value, list) and all(map(ID.is_valid, value)),
    "a list of integers",
    default=[],
    is_optional=True,
)
_FREQUENCY = Kind(FREQUENCIES.__contains__, "r, c or f")


def is_lvis(images: Table) -> bool:
    """Whether a file's pictures say for which classes they were looked through."""
    return images.has(NEGATIVES) or images.has(NOT_EXHAUSTIVE)


def read_federated(images: Table, categories: Table, label_by_id: Mapping[int, int]) -> Federated:
    """What a file says; a problem for each value that is wrong."""
    frequencies = categories.column("frequency", _FREQUENCY)
    pairs = {key: pairs_of(_known(images, key, label_by_id)) for key in (NEGATIVES, NOT_EXHAUSTIVE)}
    return Federated(pairs[NEGATIVES], pairs[NOT_EXHAUSTIVE], tuple(frequencies))


def _known(images: Table, key: str, label_by_id: Mapping[int, int]) -> list[tuple[int, int]]:
    return [
        (row, label_by_id[number])
        for row, numbers in enumerate(images.column(key, _IDS))
        if isinstance(numbers, list)
        for number in numbers
        if number in label_by_id
    ]
