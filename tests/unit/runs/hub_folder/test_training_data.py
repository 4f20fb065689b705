from typing import Any

import pytest

from hrdet_cli.runs.hub_folder.training_data import describe_training_data
from hrdet_cli.runs.run_record import RunRecord


def _launch(first_step: int, num_pictures: int, fingerprint: str) -> dict[str, Any]:
    return {
        "first_step": first_step,
        "plan": {"train": {"num_pictures": num_pictures, "num_boxes": 7}},
        "data_fingerprints": {"train": fingerprint},
    }


_ALL = "9 pictures with 7 boxes (SHA-256 of the annotations a)"
_CLEANED = "8 pictures with 7 boxes (SHA-256 of the annotations b)"
_LAUNCHES = (
    _launch(0, 9, "a"),
    _launch(20, 9, "a"),
    _launch(50, 5, "lost"),  # the next one goes back behind all of its steps
    _launch(40, 8, "b"),
)


@pytest.mark.parametrize(
    ("step", "data"), [(40, _ALL), (41, f"{_ALL}, then on {_CLEANED}"), (None, f"{_ALL}, then on {_CLEANED}")]
)
def test_a_run_was_trained_on_what_the_steps_saw_that_led_to_the_weights(step: int | None, data: str) -> None:
    assert describe_training_data(RunRecord(_LAUNCHES), step=step) == f"trained on {data}"


def test_of_records_that_do_not_say_it_nothing_is_told() -> None:
    assert describe_training_data(RunRecord(({"seed": 1},)), step=3) is None
    assert describe_training_data(RunRecord(), step=3) is None
