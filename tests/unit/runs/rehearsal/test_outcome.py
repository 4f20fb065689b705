"""What was planned stands beside what happened."""

from pathlib import Path

import msgspec
import pytest

from hrdet_cli.runs.rehearsal.outcome import Outcome, Planned, compare_with_run, read_planned
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_record import RunRecord


def planned(*totals: float, gradients: float | None = 0.01) -> Planned:
    document = {
        "plan": {"num_processes": 64, "num_steps": 9000},
        "modelled": [
            {"step_seconds": {"total": total, "gradients": gradients}, "hours": 2.5 * total}
            for total in totals
        ],
        "computing": {"peak_memory_bytes": 20 * 2**30},
        "checkpoints": {"num_bytes": 210 * 2**20},
    }
    return msgspec.convert(document, Planned)


def test_each_figure_is_compared() -> None:
    record = RunRecord(({"plan": {"num_processes": 16}},)).with_checkpoint(1.25, 211 * 2**20)
    found = compare_with_run(planned(0.5), record, step_seconds=[0.4, 0.6, 2.0], peak_memory_bytes=2**31)
    assert found == (
        Outcome("processes", "64", "16"),
        Outcome("steps", "9,000", "3 so far"),
        Outcome("seconds of a step", "0.500", "0.600 (median)"),
        Outcome("hours", "1.25", "0.00 in steps so far"),
        Outcome("memory of a process", "20.0 GiB", "2.0 GiB"),
        Outcome("a checkpoint", "210 MiB", "211 MiB, written in 1.2 s at most"),
    )


def test_several_networks_give_a_range_and_unknown_gradients_a_least() -> None:
    found = compare_with_run(planned(0.5, 0.7, gradients=None), None, step_seconds=[0.4], peak_memory_bytes=0)
    assert found[1] == Outcome("seconds of a step", "at least 0.500 to 0.700", "0.400 (median)")


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_what_is_no_rehearsal_is_none(text: str, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert read_planned(folder) is None
    folder.rehearsal_file.write_text(text)
    assert read_planned(folder) is None
