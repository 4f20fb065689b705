"""The trackers there are: TensorBoard's by its own reader, the others by stand-ins for their packages."""

import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hrdet_cli.errors import SpecError
from hrdet_cli.runs.tracking import tracker
from hrdet_cli.runs.tracking.tracker import TrackedRun, Tracker, opener_of, require_trackers, scalars_of


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    """A PNG, 6 pixels wide."""
    file = tmp_path / "sheet.png"
    Image.fromarray(np.zeros((4, 6, 3), np.uint8)).save(file)
    return file


def told(folder: Path, *, first_step: int = 0) -> TrackedRun:
    return TrackedRun(
        name="bccd",
        folder=folder,
        spec_text="name: bccd\n",
        settings={"name": "bccd"},
        first_step=first_step,
    )


def use(opened: Tracker, sheet: Path, *, steps: range) -> None:
    for step in steps:
        opened.add_scalars({"train/loss": 1 / step}, step)
    opened.add_picture("train-batch", sheet, steps[-1])
    opened.close(has_failed=False)


def test_names_of_numbers_say_what_was_measured_on_which_data_and_weights() -> None:
    evaluation = {"kind": "evaluation", "epoch": 2, "step": 9, "box": {"AP": 0.5, "APs": None}}
    assert scalars_of({**evaluation, "weights": "raw"}) == {"val/epoch": 2, "val/box/AP": 0.5}
    assert scalars_of({**evaluation, "weights": "ema"}) == {"val-ema/epoch": 2, "val-ema/box/AP": 0.5}


def test_a_tracker_that_is_unknown_or_not_installed_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker, "find_spec", lambda name: None if name == "wandb" else object())
    require_trackers(["tensorboard", "mlflow"])
    with pytest.raises(SpecError) as caught:
        require_trackers(["neptune", "wandb"])
    unknown, missing = caught.value.problems
    assert unknown == "run.trackers: there is no tracker 'neptune', but mlflow, tensorboard, wandb"
    assert missing.startswith("run.trackers: wandb needs a package that is not installed")
    assert "-m pip install 'wandb>=" in missing


def test_packages_bring_trackers_by_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("notebook", "builtins:vars", tracker.ENTRY_POINT_GROUP)
    monkeypatch.setattr(tracker, "entry_points", lambda *, group: [point] if group == point.group else [])
    require_trackers(["notebook"])
    run: Any = SimpleNamespace(folder=tmp_path)
    opened: object = opener_of("notebook")(run)
    assert opened == {"folder": tmp_path}


def test_tensorboard_reads_what_was_written_and_forgets_lost_steps(tmp_path: Path, sheet: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    use(opener_of("tensorboard")(told(tmp_path / "tb")), sheet, steps=range(1, 6))
    # Files are read in the order of their names: the second, then a number without zeros before it.
    (first,) = (tmp_path / "tb").iterdir()
    first.rename(first.with_name("events.out.tfevents.0000000001.first"))
    use(opener_of("tensorboard")(told(tmp_path / "tb", first_step=3)), sheet, steps=range(4, 8))
    events = EventAccumulator(str(tmp_path / "tb")).Reload()
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4, 5, 6, 7]
    assert events.Scalars("train/loss")[-1].value == pytest.approx(1 / 7)
    assert [(picture.step, picture.width) for picture in events.Images("train-batch")] == [(7, 6)]
    assert "spec/text_summary" in events.Tags()["tensors"]


class FakeWandb(ModuleType):
    """As much of the package as is used."""

    def __init__(self, *, mode: str, api_key: str | None) -> None:
        super().__init__("wandb")
        self.setup = lambda: SimpleNamespace(settings=SimpleNamespace(mode=mode))
        self.api = SimpleNamespace(api_key=api_key)
        self.Settings = dict
        self.Image = lambda file: ("image", file)
        self.inits: list[dict[str, Any]] = []
        self.logged: list[Mapping[str, Any]] = []

    def init(self, **options: Any) -> SimpleNamespace:
        self.inits.append(options)
        return SimpleNamespace(
            define_metric=lambda name, step_metric: self.logged.append({name: step_metric}),
            log=self.logged.append,
            finish=lambda exit_code: self.logged.append({"exit_code": exit_code}),
        )


def fresh(monkeypatch: pytest.MonkeyPatch, **modules: ModuleType) -> None:
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name.replace("_", "."), module)
    for name in ("wandb", "mlflow"):
        monkeypatch.delitem(sys.modules, f"hrdet_cli.runs.tracking.{name}_tracker", raising=False)


def test_wandb_goes_on_with_its_run_by_steps_of_ours(
    tmp_path: Path, sheet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = FakeWandb(mode="online", api_key="key")
    fresh(monkeypatch, wandb=wandb)
    for _ in range(2):
        use(opener_of("wandb")(told(tmp_path / "wandb")), sheet, steps=range(1, 2))
    first, second = wandb.inits
    assert first["id"] == second["id"] == (tmp_path / "wandb" / "run-id").read_text()
    assert (first["resume"], first["config"], first["name"]) == ("allow", {"name": "bccd"}, "bccd")
    assert wandb.logged[:4] == [
        {"*": "step"},
        {"train/loss": 1.0, "step": 1},
        {"train-batch": ("image", str(sheet)), "step": 1},
        {"exit_code": 0},
    ]


def test_wandb_without_a_key_does_not_ask_at_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb = FakeWandb(mode="online", api_key=None)
    fresh(monkeypatch, wandb=wandb)
    with pytest.raises(RuntimeError, match="no API key: `wandb login`"):
        opener_of("wandb")(told(tmp_path / "wandb"))
    assert not wandb.inits
    fresh(monkeypatch, wandb=FakeWandb(mode="offline", api_key=None))
    opener_of("wandb")(told(tmp_path / "wandb"))


class FakeClient:
    """As much of MLflow's client as is used."""

    calls: list[tuple[Any, ...]]

    def get_experiment_by_name(self, name: str) -> None:
        self.calls.append(("look", name))

    def create_experiment(self, name: str) -> str:
        return f"id of {name}"

    def create_run(self, experiment_id: str, *, run_name: str) -> SimpleNamespace:
        self.calls.append(("create", experiment_id, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="77"))

    def update_run(self, run_id: str, *, status: str) -> None:
        self.calls.append(("update", run_id, status))

    def log_batch(self, run_id: str, **what: Any) -> None:
        self.calls.append(("batch", run_id, what))

    def log_text(self, run_id: str, text: str, name: str) -> None:
        self.calls.append(("text", run_id, text, name))

    def log_artifact(self, run_id: str, file: str, place: str) -> None:
        self.calls.append(("artifact", run_id, file, place))

    def set_terminated(self, run_id: str, status: str) -> None:
        self.calls.append(("end", run_id, status))


def test_mlflow_goes_on_with_its_run(tmp_path: Path, sheet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeClient.calls = []
    mlflow, entities = ModuleType("mlflow"), ModuleType("mlflow.entities")
    mlflow.__dict__["MlflowClient"] = FakeClient
    entities.__dict__.update(
        Metric=lambda key, value, _timestamp, step: (key, value, step), Param=lambda key, value: (key, value)
    )
    fresh(monkeypatch, mlflow=mlflow, mlflow_entities=entities)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_ID", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    use(opener_of("mlflow")(told(tmp_path / "ml")), sheet, steps=range(1, 2))
    of_use = [
        ("batch", "77", {"metrics": [("train/loss", 1.0, 1)]}),
        ("artifact", "77", str(sheet), "train-batch/step-1"),
        ("end", "77", "FINISHED"),
    ]
    assert FakeClient.calls == [
        ("look", "hrdet"),
        ("create", "id of hrdet", "bccd"),
        ("batch", "77", {"params": [("name", "bccd")]}),
        ("text", "77", "name: bccd\n", "spec.yaml"),
        *of_use,
    ]
    FakeClient.calls = []
    use(opener_of("mlflow")(told(tmp_path / "ml")), sheet, steps=range(1, 2))
    assert FakeClient.calls == [("update", "77", "RUNNING"), *of_use]
