import json

import pytest

from hrdet_cli.runs.run_record import Ending, RunRecord


def test_a_record_survives_being_text() -> None:
    record = RunRecord(({"launch_id": "a", "data_fingerprints": {"train": "12", "val": "34"}},))
    record = record.with_launch({"launch_id": "b"}).with_broken_pictures({"é.jpg": "é.jpg: is damaged"})
    assert RunRecord.parse(record.text()) == record


def test_a_record_names_broken_pictures_only_where_there_are_some() -> None:
    assert json.loads(RunRecord(({"seed": 1},)).text()) == {"launches": [{"seed": 1}]}


def test_how_a_launch_ended_is_known_until_the_next_one() -> None:
    record = RunRecord(({"seed": 1},)).with_ending(Ending("failed", 7, "no room"))
    assert RunRecord.parse(record.text()) == record
    assert record.with_launch({"seed": 1}).ended is None


def test_the_first_reason_stays() -> None:
    record = RunRecord().with_broken_pictures({"a.jpg": "missing"})
    assert record.with_broken_pictures({"a.jpg": "damaged", "b.jpg": "cut"}).broken_pictures == {
        "a.jpg": "missing",
        "b.jpg": "cut",
    }


def test_launches_and_the_data_of_the_last_are_known() -> None:
    fingerprints = [{"data_fingerprints": {"train": name}} for name in ("9", "12")]
    record = RunRecord(({"launch_id": "a", **fingerprints[0]}, {"launch_id": "b", **fingerprints[1]}))
    assert record.was_begun_by("b")
    assert not record.was_begun_by("c")
    assert record.data_fingerprint("train") == "12"
    assert record.data_fingerprint("val") is None
    assert RunRecord().data_fingerprint("train") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"launches": 3}',
        '{"launches": [3]}',
        '{"launches": [], "broken_pictures": 3}',
        '{"launches": [], "ended": {"how": "well", "step": 1, "error": null}}',
    ],
)
def test_other_texts_are_no_records(text: str) -> None:
    with pytest.raises(ValueError):
        RunRecord.parse(text)


def test_damaged_pictures_and_what_the_run_began_with_survive_the_file() -> None:
    plan = {"class_names": ["cell", "plate"], "train": {"num_pictures": 9, "num_boxes": 30}}
    record = RunRecord(({"plan": plan}, {"launch_id": "b"})).with_damaged_pictures(
        {"a.jpg": "Corrupt JPEG data"}
    )
    read = RunRecord.parse(record.text())
    assert read == record
    assert read.damaged_pictures == {"a.jpg": "Corrupt JPEG data"}
    assert (read.class_names(), read.data_counts("train")) == (("cell", "plate"), (9, 30))
    assert (read.data_counts("val"), RunRecord().class_names()) == (None, None)


def test_the_slowest_checkpoint_survives_being_text() -> None:
    record = RunRecord().with_checkpoint(2.5, 1000).with_checkpoint(1.0, 2000)
    assert RunRecord.parse(record.text()) == record
    assert record.slowest_checkpoint is not None
    assert record.slowest_checkpoint.num_bytes == 1000
