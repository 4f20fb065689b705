"""How a run ends, whatever it trained."""

from collections.abc import Generator, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hrdet_cli.errors import MemoryRanOutError
from hrdet_cli.runs import train as recipe
from hrdet_cli.runs.events import EvaluationProgress, Event, Notice, RunStopped
from hrdet_cli.runs.preparation.launch import Launch
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_record import Ending
from hrdet_cli.runs.tracking.background import BackgroundTrackers
from hrdet_cli.specs.loading import load_spec


class FailingAtItsEnd:
    """A tracker that has no room for what it was given."""

    def close(self, **_: bool) -> None:
        raise OSError("no room left")


def test_a_stopped_run_tells_of_a_tracker_that_fails_as_it_is_closed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, endings = RunFolder(tmp_path / "run"), list[Ending]()
    run = SimpleNamespace(
        trackers=BackgroundTrackers({"full": FailingAtItsEnd}),  # type: ignore[dict-item]  # gets no other call
        trainer=SimpleNamespace(step=7),
        note_ending=endings.append,
        is_first=False,
        **dict.fromkeys(("loader", "metrics", "writer"), nullcontext()),
    )

    def prepared(*_: object) -> Generator[Event, None, Any]:
        yield Notice("begins")
        return run

    def work(_: object) -> Iterator[Event]:
        yield EvaluationProgress(1, 2, stop_asked=True)
        yield Notice("goes on")

    monkeypatch.setattr(recipe, "prepare_run", prepared)
    monkeypatch.setattr(recipe, "_work", work)
    launch = Launch(resume="never", overwrite=False, hosts=("vm",), launch_id=None)
    events = list(recipe.train(load_spec(preset="demo"), folder, launch, stop_asked=lambda: True))
    assert events[-2:] == [
        Notice("run.trackers: full failed: no room left. The run goes on without it"),
        RunStopped(folder.path, 7),
    ]
    assert endings == [Ending("stopped", 7)]


@pytest.mark.parametrize(
    ("num_pictures", "num_processes", "can_go_on", "fewer"),
    [
        (1, 1, "The run can go on.", []),
        (
            5,
            2,
            "The run can go on (with the same options for processes).",
            [
                "With fewer pictures a step:",
                "hrdet train --resume --run-dir runs/a --set data.batch_size_per_process=2",
            ],
        ),
    ],
)
def test_a_step_that_memory_runs_out_in_says_how_to_go_on(
    num_pictures: int, num_processes: int, can_go_on: str, fewer: list[str]
) -> None:
    def train_epoch() -> Iterator[Event]:
        yield Notice("a step")
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    settings = [f"data.batch_size_per_process={num_pictures}"]
    run: Any = SimpleNamespace(
        spec=load_spec(preset="demo", settings=settings).spec,
        folder=RunFolder(Path("runs/a")),
        device=torch.device("cpu"),
        plan=SimpleNamespace(num_processes=num_processes),
        trainer=SimpleNamespace(step=7, train_epoch=train_epoch),
    )
    steps = recipe._steps(run)
    next(steps)
    with pytest.raises(MemoryRanOutError) as error:
        next(steps)
    assert str(error.value).splitlines() == [
        f"the memory of this machine ran out in step 8. {can_go_on} Once other programs leave it more:",
        "hrdet train --resume --run-dir runs/a",
        *fewer,
    ]
