"""What a detector was trained on, in words: a run may go on with data of which some were taken out."""

from collections.abc import Iterator, Mapping
from typing import Any

from hrdet_cli.runs.run_record import RunRecord, counts_of
from hrdet_cli.wording import counted


def describe_training_data(record: RunRecord, *, step: int | None) -> str | None:
    """The data of a run up to a step, in the order in which it had them.

    Args:
        record: The run's.
        step: Of the weights; None takes all launches.

    Returns:
        None where nobody says.
    """
    described = (_describe(launch) for launch in _launches_up_to(record, step))
    data = dict.fromkeys(text for text in described if text is not None)
    return f"trained on {', then on '.join(data)}" if data else None


def _launches_up_to(record: RunRecord, step: int | None) -> Iterator[Mapping[str, Any]]:
    """Launches with steps that count: none that a later one went back behind, and none after ``step``."""
    begins = [launch.get("first_step", 0) for launch in record.launches]
    for number, (launch, begin) in enumerate(zip(record.launches, begins, strict=True), start=1):
        if begin < min([*begins[number:], begin + 1 if step is None else step]):
            yield launch


def _describe(launch: Mapping[str, Any]) -> str | None:
    counts = counts_of(launch, "train")
    if counts is None:
        return None
    pictures, boxes = counts
    fingerprint = launch.get("data_fingerprints", {}).get("train")
    known = f" (SHA-256 of the annotations {fingerprint})" if fingerprint else ""
    return f"{counted(pictures, 'picture')} with {counted(boxes, 'box', 'boxes')}{known}"
