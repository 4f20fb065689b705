"""The runners' own tools."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from tests.faults.trials import ACCEPTED, ANSWERED, SILENT, Outcome, Request, draw_table, run_and_exit


def _request(*indices: int) -> Request:
    return Request("name", 3, indices, Path())


def test_a_trial_draws_the_same_numbers_alone_as_among_others() -> None:
    assert _request(7).rng(7).random() == _request(*range(10)).rng(7).random()
    assert _request(7).rng(7).random() != _request(7).rng(8).random()


def test_the_table_counts_ends_and_faults() -> None:
    console = Console(width=200, record=True, file=io.StringIO())
    outcomes = [Outcome(0, "", ACCEPTED, {SILENT: "so"}), *[Outcome(1, "", ANSWERED)] * 2]
    console.print(draw_table({"x": outcomes}))
    (row,) = [line for line in console.export_text().splitlines() if line.startswith("│ x")]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [*"x3121", *"0000000"]


@pytest.mark.parametrize(("faults", "code"), [({}, 0), ({SILENT: "so"}, 1)])
def test_a_single_fault_fails_the_runner(faults: dict[str, str], code: int) -> None:
    def runner(request: Request) -> Iterator[Outcome]:
        yield from (Outcome(index, "", ACCEPTED, faults if index == 4 else {}) for index in request.indices)

    with pytest.raises(SystemExit) as ended:
        run_and_exit({"x": runner}, num_trials={"x": 5}, arguments=["--seed", "1"])
    assert ended.value.code == code
    with pytest.raises(SystemExit) as ended:
        run_and_exit({"x": runner}, num_trials={"x": 5}, arguments=["--only", "3"])
    assert ended.value.code == 0
