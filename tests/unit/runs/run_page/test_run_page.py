"""The page of a run says what is on record of it, however much that is."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hrdet_cli.errors import OutputError
from hrdet_cli.pages.blocks import (
    Block,
    Cell,
    Details,
    Facts,
    Grid,
    Highlights,
    Page,
    Picture,
    Plot,
    Table,
    Text,
)
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_page.page import make_run_page, write_own_page, write_run_page
from hrdet_cli.runs.run_page.story import read_story
from hrdet_cli.runs.run_record import Ending, RunRecord
from tests.unit.runs.run_page.recorded_run import PLAN, evaluation_line, launch, step_line, write_run

NOW = datetime(2026, 11, 30, 3, 4, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return write_run(tmp_path / "run")


def page_of(folder: RunFolder, *, holder: str | None = None) -> Page:
    return make_run_page(read_story(folder), holder=holder, now=NOW)


def blocks_of(page: Page, title: str | None = None) -> Iterator[Block]:
    """All of a section, or of what goes before the sections, with what is inside of them."""
    waiting = list(
        page.blocks if title is None else next(s.blocks for s in page.sections if s.title == title)
    )
    while waiting:
        block = waiting.pop(0)
        yield block
        waiting = [*(block.blocks if isinstance(block, Grid | Details) else ()), *waiting]


def table_of(page: Page, title: str, caption: str) -> Table:
    tables = (block for block in blocks_of(page, title) if isinstance(block, Table))
    return next(table for table in tables if table.caption == caption)


def texts(row: list[str | Cell]) -> list[str]:
    return [cell.text if isinstance(cell, Cell) else cell for cell in row]


def notes_of(page: Page, title: str | None = None) -> list[str]:
    return [block.text for block in blocks_of(page, title) if isinstance(block, Text)]


def set_metrics(folder: RunFolder, *lines: dict[str, object] | str) -> None:
    written = (line if isinstance(line, str) else f"{json.dumps(line)}\n" for line in lines)
    folder.metrics_file.write_text("".join(written))


def test_a_whole_run_has_its_sections_and_its_numbers(folder: RunFolder) -> None:
    page = page_of(folder)
    assert page.title == "mine"
    assert page.footer == f"hrdet 0.1.0, of {folder.path} on 2026-11-30 03:04 UTC"
    titles = [
        "Noted",
        "Results",
        "Training",
        "What it finds",
        "What it is trained on",
        "Plan",
        "Spec",
        "Where it ran",
    ]
    assert [section.title for section in page.sections] == titles
    (highlights,) = page.blocks
    assert isinstance(highlights, Highlights)
    assert [(item.label, item.value, item.note) for item in highlights.items] == [
        ("best box AP", "0.400", "epoch 3"),
        ("steps", "20", "of 20"),
        ("time in steps", "8 s", "evaluations not counted"),
        ("pictures a second", "5", "median of the steps"),
        ("waiting for data", "25.0%", "of that time"),
        ("most memory", "5.0 GiB", "of the first process"),
    ]


def test_the_best_number_is_one_on_the_validation_data_that_the_run_has_now(folder: RunFolder) -> None:
    launches = ((0, "a"), (10, "b"), (15, "b"), (20, None))
    record = (launch(first_step=step, data_fingerprints={"val": val}) for step, val in launches)
    folder.write_record(RunRecord(tuple(record)))
    set_metrics(folder, step_line(15), *(evaluation_line(e, ap) for e, ap in ((2, 0.9), (3, 0.4), (4, 0.3))))
    (highlights,) = page_of(folder).blocks
    assert isinstance(highlights, Highlights)
    assert (highlights.items[0].value, highlights.items[0].note) == ("0.400", "epoch 3")


def test_plots_say_in_words_what_is_in_them(folder: RunFolder) -> None:
    page = page_of(folder)
    of_results = [block for block in blocks_of(page, "Results") if isinstance(block, Plot)]
    assert [plot.alt for plot in of_results] == [
        "Boxes of the validation data, by epoch, 4 evaluations: AP from 0.1 to 0.3, AP50 from 0.2 to 0.6."
    ]
    of_training = [block for block in blocks_of(page, "Training") if isinstance(block, Plot)]
    assert [plot.caption for plot in of_training] == [
        "Losses of each step, and those on the validation data with dots",
        "Losses on the validation data",
        "Learning rate",
        "Norm of the gradient before clipping",
        "Pictures a second",
        "Share of a step's time that waits for data",
        "Most memory so far, GiB",
    ]
    assert of_training[0].alt == (
        "Over steps 1 to 20: sum from 1 to 0.05, rpn_box from 0.5 to 0.025, roi_class from 0.5 to 0.025, "
        "validation from 0.5 to 0.125."
    )
    assert of_training[5].alt.endswith("over steps 1 to 20: from 25.0% to 25.0%, median 25.0%.")


def test_classes_have_the_numbers_of_the_last_and_of_the_best_evaluation(folder: RunFolder) -> None:
    table = table_of(page_of(folder), "Results", "Each class on the validation data")
    headings = ["class", "boxes", "AP, epoch 4 (last)", "AP50", "AP, epoch 3 (best)", "AP50"]
    assert [column.heading for column in table.columns] == headings
    assert [texts(list(row)) for row in table.rows] == [
        ["cat", "1,000", "0.250", "0.250", "0.500", "0.500"],
        ["dog", "1,001", "0.350", "0.350", "–", "–"],
    ]


def test_an_evaluation_that_is_last_and_best_is_told_once(folder: RunFolder) -> None:
    (folder.evaluation / "metrics-best.json").write_bytes((folder.evaluation / "metrics.json").read_bytes())
    table = table_of(page_of(folder), "Results", "Each class on the validation data")
    assert [column.heading for column in table.columns][2:] == ["AP, epoch 4 (last and best)", "AP50"]


def test_masks_and_the_average_of_the_weights_have_their_own(folder: RunFolder) -> None:
    of_masks = {"mask": {"AP": 0.2, "AP50": 0.3}}
    average = {**evaluation_line(1, 0.7), **of_masks, "weights": "ema"}
    set_metrics(folder, step_line(1), {**evaluation_line(1, 0.1), **of_masks}, average)
    page = page_of(folder)
    (highlights,) = page.blocks
    assert isinstance(highlights, Highlights)
    assert [(item.label, item.value) for item in highlights.items][:4] == [
        ("best box AP", "0.100"),
        ("best mask AP", "0.200"),
        ("best box AP, average of the weights", "0.700"),
        ("best mask AP, average of the weights", "0.200"),
    ]
    plots = [block for block in blocks_of(page, "Results") if isinstance(block, Plot)]
    assert [[(key.name, key.is_dotted) for key in plot.svg.keys] for plot in plots] == [
        [
            (name, name.endswith("weights"))
            for name in ("AP", "AP50", *(f"{n}, average of the weights" for n in ("AP", "AP50")))
        ]
    ] * 2


def test_the_spec_names_the_layer_of_each_value_though_the_run_was_resumed(folder: RunFolder) -> None:
    table = table_of(page_of(folder), "Spec", "Values that a layer set")
    assert [texts(list(row)) for row in table.rows] == [
        ["evaluation.patience", "null", "--set x"],
        ["run.seed", "3", "--set run.seed=3"],
        ["norm.kind", "'sync'", "preset demo"],
    ]


def test_what_the_user_should_know_is_told_once(folder: RunFolder) -> None:
    page = page_of(folder)
    assert notes_of(page, "Noted") == ["the whole run has 20 steps", "a picture is odd"]
    (broken,) = (block for block in blocks_of(page, "Noted") if isinstance(block, Details))
    assert broken.summary == "1 picture that could not be read, so that others took their places"


def test_notes_of_a_run_that_was_here_before_are_not_this_one_s(folder: RunFolder) -> None:
    started = "2026-11-30 01:59:"
    (folder.logs / "rank-0.log").write_text(
        f"--- {started}01+00:00 hrdet train --preset other\nnote: replaced\n"
        f"--- {started}25+00:00 hrdet train --preset demo --overwrite\nnote: its own\n"
        f"--- {started}59+00:00 hrdet train --resume\nnote: goes on\n"
    )
    assert read_story(folder).notes == ["its own", "goes on"]
    record = json.loads(folder.record_file.read_text())
    record["launches"][0].pop("started")  # nobody says when it began
    folder.record_file.write_text(json.dumps(record))
    assert read_story(folder).notes == ["replaced", "its own", "goes on"]
    folder.record_file.unlink()
    assert read_story(folder).notes == ["replaced", "its own", "goes on"]


def test_starts_have_their_commands_and_machines(folder: RunFolder) -> None:
    page = page_of(folder)
    table = table_of(page, "Where it ran", "Starts")
    assert [texts(list(row)) for row in table.rows] == [
        ["2026-11-30 01:59:25 UTC", "0", "vm", "cpu in float32"],
        ["2026-11-30 01:59:25 UTC", "10", "vm", "cpu in float32"],
    ]
    (facts,) = (block for block in blocks_of(page, "Where it ran") if isinstance(block, Facts))
    assert facts.facts == [
        ("hrdet", "0.1.0"),
        ("torch", "2.14.1"),
        ("pydantic", "not installed"),
        ("git commit of hrdet", "abc, with changes"),
        ("seed", "3"),
        ("kernels", "torchvision"),
        ("largest step", "320x256, 2 pictures: 1.0 GiB"),
    ]


def test_batches_come_by_their_numbers(folder: RunFolder) -> None:
    pictures = [
        block for block in blocks_of(page_of(folder), "What it is trained on") if isinstance(block, Picture)
    ]
    assert [picture.caption for picture in pictures] == ["Batch 2", "Batch 10"]


def test_a_run_that_goes_on_says_so(folder: RunFolder) -> None:
    page = page_of(folder, holder="process 7 on vm")
    assert notes_of(page) == ["A run goes on here: process 7 on vm. This is how far it was."]


@pytest.mark.parametrize(
    ("ending", "told"),
    [
        (Ending("finished", 20), []),
        (
            Ending("stopped", 7),
            ["Stopped after step 7 of 20. It goes on with: hrdet train --resume --run-dir {folder}"],
        ),
        (
            Ending("failed", 7, "no room"),
            ["Ended with an error after step 7 of 20:\nno room"],
        ),
    ],
)
def test_how_a_run_ended_is_told_but_where_it_goes_on(
    folder: RunFolder, ending: Ending, told: list[str]
) -> None:
    record = folder.read_record()
    assert record is not None
    folder.write_record(record.with_ending(ending))
    assert notes_of(page_of(folder)) == [text.format(folder=folder.path) for text in told]
    assert len(notes_of(page_of(folder, holder="process 7 on vm"))) == 1
    folder.write_record(record.with_ending(ending).with_launch(launch()))
    assert notes_of(page_of(folder)) == []


@pytest.mark.parametrize("has_file", [True, False])
def test_a_run_without_a_step_has_a_page(folder: RunFolder, has_file: bool) -> None:
    set_metrics(folder)
    if not has_file:
        folder.metrics_file.unlink()
    page = page_of(folder)
    assert notes_of(page) == ["No step is on record yet."]
    assert "Training" not in [section.title for section in page.sections]


def test_a_run_without_evaluations_says_so(folder: RunFolder) -> None:
    set_metrics(folder, step_line(1), step_line(2))
    for name in ("metrics.json", "metrics-best.json"):
        (folder.evaluation / name).unlink()
    assert notes_of(page_of(folder), "Results") == ["Not evaluated so far."]


def test_damaged_lines_are_counted_but_for_one_that_is_being_written(folder: RunFolder) -> None:
    set_metrics(folder, step_line(1), "\x00\x00\n", '{"kind": 3}\n', step_line(2), '{"kind": "st')
    noted = notes_of(page_of(folder), "Noted")
    assert "2 lines of metrics.jsonl cannot be read and are left out here" in noted


def test_numbers_that_older_lines_lack_are_left_out(folder: RunFolder) -> None:
    lacking = ("gradient_norm", "data_seconds", "step_seconds", "peak_memory_bytes", "images_per_second")
    lines = [{key: value for key, value in step_line(n).items() if key not in lacking} for n in (1, 2)]
    set_metrics(folder, *lines)
    page = page_of(folder)
    plots = [block for block in blocks_of(page, "Training") if isinstance(block, Plot)]
    assert [plot.caption for plot in plots] == ["Losses of each step", "Learning rate"]


def test_what_is_missing_or_damaged_leaves_its_place_empty(folder: RunFolder) -> None:
    folder.spec_file.write_text("{")
    (folder.evaluation / "metrics.json").write_text("[")
    (folder.evaluation / "detections.png").write_text("x")
    page = page_of(folder)
    assert page.title == "run"
    assert notes_of(page, "Spec") == [
        "spec.yaml is missing or damaged; hrdet train --resume writes it again."
    ]
    folder.record_file.write_text('{"launches": [{"started": 3}]}')
    page = page_of(folder)
    assert notes_of(page, "Where it ran") == [
        "run.json is missing or damaged, so nobody says where the run ran."
    ]
    assert notes_of(page, "Plan") == ["run.json is missing or damaged, so nobody says what was planned."]


def test_a_plan_of_another_version_is_shown_as_it_is(folder: RunFolder) -> None:
    plan = {**PLAN.to_json(), "num_steps": 30}
    del plan["canvases"]
    folder.write_record(RunRecord(({**launch(), "plan": plan},)))
    page = page_of(folder)
    (told,) = (block for block in blocks_of(page, "Plan") if isinstance(block, Details))
    assert told.summary == "the plan as it is on record"
    (highlights,) = page.blocks
    assert isinstance(highlights, Highlights)
    assert highlights.items[1].note == "of 30"


def test_a_folder_without_a_run_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"nowhere: is not a run folder .*; check the path"):
        write_run_page(RunFolder(tmp_path / "nowhere"), tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_a_page_that_cannot_be_written_costs_a_run_no_more(folder: RunFolder) -> None:
    assert write_own_page(folder) is None
    folder.page_file.unlink()
    folder.page_file.mkdir()
    assert write_own_page(folder) == (
        f"{folder.page_file}: cannot be written: Is a directory; to write the page again: "
        f"hrdet show {folder.path}"
    )


def test_a_real_browser_has_nothing_to_say_against_it(
    folder: RunFolder, look_at_page: Callable[[Path], None]
) -> None:
    write_run_page(folder, folder.page_file, holder="process 7 on vm")
    look_at_page(folder.page_file)


def test_the_page_belongs_to_the_run(folder: RunFolder) -> None:
    write_run_page(folder, folder.page_file)
    folder.refuse_if_foreign()
    folder.create(overwrite=True)
    assert not folder.page_file.exists()


def test_many_classes_are_folded_away(folder: RunFolder) -> None:
    classes = {f"class {n}": {"AP": n / 100, "AP50": None, "num_boxes": n} for n in range(21)}
    for name in ("metrics.json", "metrics-best.json"):
        (folder.evaluation / name).write_text(json.dumps({"made_from": {"epoch": 4}, "classes": classes}))
    folded = [block for block in blocks_of(page_of(folder), "Results") if isinstance(block, Details)]
    assert [block.summary for block in folded] == [
        "AP of each of the 21 classes",
        "every evaluation (4 rows)",
    ]


def test_a_run_on_several_nodes_names_them(folder: RunFolder) -> None:
    record = RunRecord((launch(replace(PLAN, num_processes=3), hosts_by_rank=["a", "a", "b"]),))
    folder.write_record(record)
    (row,) = table_of(page_of(folder), "Where it ran", "Starts").rows
    assert row[2] == "a, b: 3 processes"
