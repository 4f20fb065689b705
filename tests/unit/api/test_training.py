"""Runs that a script starts: told step by step, stopped, gone on with, evaluated."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

import hrdet_cli as hrdet
from hrdet_cli.engine.training.checkpoint import load_checkpoint
from tests.unit.api.small_run import SETTINGS


@pytest.fixture(scope="module")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo data are drawn, once."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture
def settings(data_root: Path) -> dict[str, object]:
    """Of a run of three steps."""
    return {**SETTINGS, "data.root": data_root}


def test_a_run_tells_what_happens_and_its_detector_is_evaluated(
    settings: dict[str, object],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events: list[hrdet.Event] = []
    run = hrdet.train("demo", settings=settings, run_dir=tmp_path / "run", on_event=events.append)
    steps = [event.step for event in events if isinstance(event, hrdet.StepReport)]
    (evaluated,) = [event for event in events if isinstance(event, hrdet.Evaluated)]
    assert steps == [1, 2, 3]
    assert any(isinstance(event, hrdet.RunStarted) for event in events)
    assert run is events[-1]
    assert isinstance(run, hrdet.RunFinished)
    assert run.folder == tmp_path / "run"
    assert run.best["raw"] == evaluated.numbers["box"]["AP"]
    progress: list[hrdet.EvaluationProgress] = []
    evaluation = hrdet.evaluate(run.folder, on_progress=progress.append)
    assert evaluation.box.numbers == evaluated.numbers["box"]
    assert (evaluation.mask, evaluation.unknown_classes) == (None, ())
    assert evaluation.folder == tmp_path / "run" / "eval-best"
    assert progress[-1].num_done == 2
    detector = hrdet.load(run.folder)
    assert evaluation.report is None
    in_memory = hrdet.evaluate(detector, out=tmp_path / "in-memory", report=True)
    assert in_memory.box.numbers == evaluation.box.numbers
    assert in_memory.folder == tmp_path / "in-memory"
    assert in_memory.report == tmp_path / "in-memory" / "report.html"
    assert "Worst pictures" in in_memory.report.read_text()

    def detect(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(type(detector.module), "detect", detect)
    with pytest.raises(hrdet.OutOfMemoryError, match=r" do not fit into the memory of .*batch_size=1 or "):
        hrdet.evaluate(detector, out=tmp_path / "too-large")
    views = {"evaluation.test_time_augmentation.scales_pixels": [[96, 64], [128, 96], [64, 64]]}
    told = r", evaluated in 128x96, .* a smaller evaluation\.test_time_augmentation\.scales_pixels$"
    with pytest.raises(hrdet.OutOfMemoryError, match=told):
        hrdet.evaluate(detector, settings=views, out=tmp_path / "too-large")
    assert capfd.readouterr() == ("", "")


def test_ctrl_c_is_an_interrupt_once_the_step_is_saved_and_the_run_goes_on(
    settings: dict[str, object], tmp_path: Path
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background begin with it ignored

    def interrupt(event: hrdet.Event) -> None:
        if isinstance(event, hrdet.StepReport) and event.step == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        hrdet.train("demo", settings=settings, run_dir=tmp_path, on_event=interrupt)
    assert load_checkpoint(tmp_path / "checkpoints" / "last.pt")["step"] == 2  # asked after the first
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    page = tmp_path / "run.html"
    assert "Stopped after step 2 of 3. It goes on with: hrdet train --resume" in page.read_text()
    steps: list[int] = []
    run = hrdet.train(
        run_dir=tmp_path,
        resume="always",
        on_event=lambda event: steps.append(event.step) if isinstance(event, hrdet.StepReport) else None,
    )
    assert isinstance(run, hrdet.RunFinished)
    assert steps == [3]
    assert "Stopped after" not in page.read_text()
    assert "best box AP" in page.read_text()


def test_a_script_stops_a_run_by_itself_in_any_thread(settings: dict[str, object], tmp_path: Path) -> None:
    ended: list[Any] = []

    def train() -> None:
        ended.append(hrdet.train("demo", settings=settings, run_dir=tmp_path, stop_asked=lambda: True))

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert ended == [hrdet.RunStopped(tmp_path, step=1)]
    assert (tmp_path / "checkpoints" / "last.pt").is_file()


def test_arguments_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(hrdet.SpecError, match="resume='always' and overwrite=True exclude each other"):
        hrdet.train("demo", resume="always", overwrite=True)
    with pytest.raises(hrdet.SpecError, match="give run_dir, the folder of the run to go on with"):
        hrdet.train(resume="always")
    with pytest.raises(hrdet.OutputError, match="is not a run folder"):
        hrdet.train(run_dir=tmp_path, resume="always")
    with pytest.raises(hrdet.SpecError, match="data are a pair"):
        hrdet.train("demo", train_data=("a", "b", "c"))  # type: ignore[arg-type]
    with pytest.raises(hrdet.SpecError, match="give one of --preset NAME and --spec FILE"):
        hrdet.train()
    with pytest.raises(hrdet.SpecError, match=r"^settings: optimisation.epochs: unknown key"):
        hrdet.train("demo", settings={"optimisation.epochs": 3})


def test_a_detector_in_memory_needs_a_folder_for_its_results(detector: hrdet.Predictor) -> None:
    with pytest.raises(hrdet.SpecError) as error:
        hrdet.evaluate(detector, preset="demo", ema=True)
    assert error.value.problems == [
        "preset: is for weights that are still to be loaded",
        "ema: is for weights that are still to be loaded",
        "out: name a folder for the results; a detector in memory has none",
    ]


def test_a_report_that_cannot_be_written_is_refused_before_the_work(
    detector: hrdet.Predictor, pictures: list[Path], tmp_path: Path
) -> None:
    annotation = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 1, 50, 50], "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 160, "height": 120}],
        "annotations": [annotation],
        "categories": [{"id": 3, "name": "cat"}],
    }
    data = tmp_path / "val.json"
    data.write_text(json.dumps(content))
    done: list[hrdet.EvaluationProgress] = []
    with pytest.raises(hrdet.OutputError, match=r"why.html: cannot .* choose another --report"):
        hrdet.evaluate(
            detector,
            val_data=(data, pictures[0].parent),
            out=tmp_path / "out",
            report=data / "why.html",
            settings={"model.head.mask": None},
            on_progress=done.append,
        )
    assert done == []
    assert not (tmp_path / "out").exists()


def test_processes_of_a_launcher_must_join_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "RANK": "1",
        "WORLD_SIZE": "2",
        "LOCAL_RANK": "1",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29500",
    }.items():
        monkeypatch.setenv(name, value)
    for work in (lambda: hrdet.train("demo"), lambda: hrdet.evaluate("run")):
        with pytest.raises(hrdet.GroupError, match=r"torchrun started 2 .*with hrdet.process_group\(\):"):
            work()
