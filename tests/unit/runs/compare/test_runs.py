"""Runs: which of their results are compared, their specs, and the page about them."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from hrdet_cli.cli.display.compare import draw_comparison
from hrdet_cli.errors import OutputError, SpecError
from hrdet_cli.pages.blocks import Block, Details, Grid, Highlights, Page, Plot, Table
from hrdet_cli.runs.compare.comparison import compare_detectors
from hrdet_cli.runs.compare.page import make_page, write_page
from hrdet_cli.runs.compare.report import DetectorComparison
from hrdet_cli.runs.compare.saved_results import find_results
from hrdet_cli.runs.compare.sides import split_into_sides
from hrdet_cli.runs.compare.spec_differences import SpecDifference, compare_specs
from hrdet_cli.specs.loading import format_spec, load_spec
from tests.compared_results import detections, share, write_data, write_results, write_run
from tests.generators import result_of


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Two runs of the demo, of which the second one has a narrower neck and finds fewer objects."""
    data = write_data(tmp_path / "data")
    settings: tuple[list[str], ...] = ([], ["model.neck.channels=32", "run.seed=3"])
    return [
        write_run(
            tmp_path / name,
            data,
            detections(data, share(found)),
            spec=format_spec(load_spec(preset="demo", settings=changed).spec),
            aps=(0.1, found),
        )
        for name, changed, found in zip("ab", settings, (1.0, 0.5), strict=True)
    ]


def compared(runs: list[Path]) -> DetectorComparison:
    comparison = result_of(compare_detectors([[str(run)] for run in runs], num_resamples=200))
    assert isinstance(comparison, DetectorComparison)
    return comparison


def test_runs_are_compared_by_what_all_have(runs: list[Path]) -> None:
    sources = [str(run) for run in runs]
    assert [found.detections.parent.name for found in find_results(sources, evaluation=None)] == [
        "eval-best"
    ] * 2
    (runs[1] / "eval-best").rename(runs[1] / "evaluation")
    with pytest.raises(OutputError, match=f"{runs[1]}: no results in eval-best or evaluation") as caught:
        find_results(sources, evaluation=None)
    assert str(caught.value).endswith(f"make them with:\nhrdet eval {runs[1]}")
    write_results(runs[0] / "evaluation", runs[0].parent / "data" / "val.json", [])
    assert [found.detections.parent.name for found in find_results(sources, evaluation=None)] == [
        "evaluation"
    ] * 2
    with pytest.raises(OutputError, match="no results in eval-best-on-test, which are to be compared; check"):
        find_results(sources, evaluation="eval-best-on-test")


def test_a_folder_of_results_is_of_the_run_it_lies_in(runs: list[Path]) -> None:
    (found,) = find_results([str(runs[0] / "eval-best")], evaluation=None)
    assert found.run is not None
    assert found.run.path == runs[0]
    assert found.described == "eval-best, epoch 2"


def test_the_keys_of_specs_that_differ_are_told(runs: list[Path]) -> None:
    assert compared(runs).specs == [
        SpecDifference("model.neck.channels", ((48,), (32,))),
        SpecDifference("run.seed", ((0,), (3,))),
    ]


def test_runs_of_a_group_that_differ_and_keys_that_one_spec_lacks_are_told() -> None:
    sides = [[{"name": "x", "a": 1, "b": [2]}, {"name": "y", "a": 2, "b": [2]}], [{"name": "z", "a": 1}]]
    assert compare_specs(sides) == [
        SpecDifference("a", ((1, 2), (1,))),
        SpecDifference("b", (([2],), ())),
    ]


def test_sides_are_single_runs_or_groups_around_a_word() -> None:
    assert split_into_sides(["a", "b", "c"]) == [["a"], ["b"], ["c"]]
    assert split_into_sides(["a", "b", "vs", "c"]) == [["a", "b"], ["c"]]
    for words in (["a"], ["a", "vs"], ["vs", "a"], ["a", "vs", "vs", "b"]):
        with pytest.raises(SpecError, match="name what to compare: hrdet compare A B, or groups"):
            split_into_sides(words)
    with pytest.raises(SpecError, match="a: is named twice"):
        split_into_sides(["a", "b", "a"])


def test_a_terminal_of_80_columns_has_room_for_all_of_it(runs: list[Path]) -> None:
    file = io.StringIO()
    Console(width=80, file=file, highlight=False, markup=False).print(draw_comparison(compared(runs)))
    lines = [line.rstrip() for line in file.getvalue().splitlines()]
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("box AP: A is better: -0.") for line in lines)
    (ap,) = [line.split() for line in lines if line.startswith("AP ")]
    assert ap[-3:] == ["A", "is", "better"]
    assert "their specs differ in 2 keys" in lines
    assert any(line.split() == ["model.neck.channels", "48", "32"] for line in lines)


def blocks_of(page: Page, kind: type) -> list[Block]:
    waiting = [*page.blocks, *(block for section in page.sections for block in section.blocks)]
    found = []
    while waiting:
        block = waiting.pop(0)
        if isinstance(block, Grid | Details):
            waiting += block.blocks
        if isinstance(block, kind):
            found.append(block)
    return found


def test_the_page_has_curves_of_both_trainings_and_pictures_of_all_that_differs(
    runs: list[Path], tmp_path: Path
) -> None:
    comparison = compared(runs)
    page = make_page(comparison, [])
    (highlights,) = blocks_of(page, Highlights)
    assert isinstance(highlights, Highlights)
    assert highlights.items[0].label == "box AP, B - A"
    plots = [block for block in blocks_of(page, Plot) if isinstance(block, Plot)]
    course = [plot for plot in plots if plot.svg.keys]
    assert [key.value for key in course[0].svg.keys] == ["1.000", "0.500"]
    assert len(course[1].svg.keys) == 2
    assert [plot.caption for plot in plots[:2]] == ["Numbers of boxes", "AP of boxes by class"]
    captions = [table.caption for table in blocks_of(page, Table) if isinstance(table, Table)]
    assert captions == ["Numbers of boxes", "AP of boxes by class", "Keys of specs that differ"]
    result_of(write_page(comparison, tmp_path / "page.html"))
    text = (tmp_path / "page.html").read_text()
    assert text.count("B: 2 missed, 0 false") == 2 * 6, "as caption and for who cannot see the picture"


def test_the_page_is_in_order_in_a_browser(
    runs: list[Path], tmp_path: Path, look_at_page: Callable[[Path], None]
) -> None:
    result_of(write_page(compared(runs), tmp_path / "page.html"))
    look_at_page(tmp_path / "page.html")


def test_pictures_that_are_not_there_are_told_on_the_page(runs: list[Path], tmp_path: Path) -> None:
    comparison = compared(runs)
    (tmp_path / "data" / "images").rename(tmp_path / "elsewhere")
    result_of(write_page(comparison, tmp_path / "page.html"))
    assert "They cannot be drawn: " in (tmp_path / "page.html").read_text()
