from rich.console import Console

from hrdet_cli.cli.display.syncbn import draw_comparison
from hrdet_cli.engine.benchmarking.sync_norm import (
    BackEndMeasurement,
    Deviation,
    StepSeconds,
    WorkloadMeasurement,
)
from hrdet_cli.engine.benchmarking.traffic import Traffic
from hrdet_cli.engine.benchmarking.workload import Workload
from hrdet_cli.engine.geometry import Size
from hrdet_cli.runs.benchmark_syncbn import NamedSizes, SyncNormComparison, SyncNormPlan, SyncNormSection

EQUAL, MIXED = NamedSizes("equal", (Size(64, 64),)), NamedSizes("mixed", (Size(64, 64), Size(64, 96)))
RIGHT = Deviation(4e-16, 3.2e-13, {"conv1": 1.0, "conv2": 0.9999})
WRONG = Deviation(0.034, 1.509, {"conv1": 0.25, "conv2": -0.0864})


def comparison() -> SyncNormComparison:
    forward, backward = Traffic(305, 400_000), Traffic(300, 200_000)
    seconds = StepSeconds(1.25, 1.0, 1.5)
    sections = []
    for named, deviation in ((EQUAL, RIGHT), (MIXED, WRONG)):
        measured = BackEndMeasurement("equal-count", forward, backward, seconds, deviation)
        workload = Workload("hrnet-w18", named.of_processes(2))
        sections.append(
            SyncNormSection(
                named.name, WorkloadMeasurement(workload, StepSeconds(0.5, 0.4, 0.6), (measured,))
            )
        )
    plan = SyncNormPlan("hrnet-w18", "cpu", (2,), (EQUAL, MIXED), ("equal-count",), 5)
    return SyncNormComparison(plan, tuple(sections))


def test_messages_are_told_once_and_the_outcome_for_each_choice_of_sizes() -> None:
    console = Console(width=90, force_terminal=False)
    with console.capture() as capture:
        console.print(draw_comparison(comparison()))
    lines = [" ".join(line.split()) for line in capture.get().splitlines()]
    assert lines.count("equal-count 305 300 600 +15.1 +27.8 +90.8") == 1
    assert lines.count("(plain BatchNorm) 500 400-600") == 2
    at = lines.index("2 processes, equal sizes: 64x64, 64x64")
    assert lines[at + 3] == "equal-count 1250 1000-1500 4e-16 3e-13 1.000"
    at = lines.index("2 processes, mixed sizes: 64x64, 96x64")
    assert lines[at + 3] == "equal-count 1250 1000-1500 0.03 1.51 -0.086"


def test_the_document_for_programs_has_the_modelled_step_and_every_cosine() -> None:
    document = comparison().to_json()
    section = document["sections"][1]
    assert section["pictures"] == ["64x64", "96x64"]
    (back_end,) = section["back_ends"]
    assert back_end["forward"] == {"num_collectives": 305, "num_bytes": 400_000}
    assert back_end["modelled_step_seconds"]["NVLink"] == 0.5 + 605 * 25e-6
    assert back_end["deviation"]["cosine_by_layer"] == {"conv1": 0.25, "conv2": -0.0864}
    assert back_end["lowest_cosine"] == -0.0864
