"""One small training run, driven through the command line, that many tests look at."""

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from matplotlib.figure import Figure

from hrdet_cli.cli.app import main
from hrdet_cli.cli.display import work
from hrdet_cli.engine.data.synthetic import make_demo_data
from tests.forked import NEVER_SECONDS, ForkedHrdet
from tests.made_once import made_once
from tests.tiny_network import tiny_network

NUM_TRAIN_PICTURES = 12
TINY = [
    f"data.demo={{seed: 1, num_train_images: {NUM_TRAIN_PICTURES}, num_val_images: 6}}",
    "data.batch_size_per_process=2",
    "augmentation.scales_pixels=[[160, 128], [128, 96]]",
    "padding.canvas_pixels=[160, 128]",
    "optimisation.base_learning_rate=0.04",
    "optimisation.parameter_groups.backbone.learning_rate_factor=1",
    "optimisation.num_epochs=2",
    "optimisation.schedule.drop_epochs=[1]",
    "optimisation.schedule.drop_factor=0.1",
    "optimisation.warmup_steps=3",
    "evaluation.scale_pixels=[160, 128]",
    "evaluation.every_num_epochs=1",
    "run.checkpoint_every_epochs=1",
    "run.log_every_steps=5",
]
"""The demo preset at a size that trains in seconds."""
ONE_EPOCH = ("optimisation.num_epochs=1", "optimisation.schedule.drop_epochs=[]")
"""Where the second epoch would show nothing new."""


@dataclass(frozen=True)
class Outcome:
    """What a command ended with and printed."""

    exit_code: int
    stdout: str
    stderr: str


Hrdet = Callable[..., Outcome]


_save_figure = Figure.savefig


def save_black(figure: Figure, file: BinaryIO, **settings: Any) -> None:
    """In place of `Figure.savefig`, which draws what is no picture."""
    if settings["format"] != "rgba":
        _save_figure(figure, file, **settings)
        return
    width, height = (round(settings["dpi"] * side) for side in figure.get_size_inches())
    file.write(bytes(4 * width * height))


@pytest.fixture(autouse=True)
def _no_line_for_slow_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed does not depend on how busy the machine is; as in forked processes."""
    monkeypatch.setattr(work, "_LINE_SECONDS", NEVER_SECONDS)


@pytest.fixture(autouse=True)
def _small_network_is_tiny() -> Iterator[None]:
    """As it is in forked processes."""
    with tiny_network():
        yield


@pytest.fixture
def hrdet(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Hrdet:
    """Runs ``hrdet ARGUMENTS`` in this process, in the current folder.

    Plots are put together and stay black: matplotlib would take as long for them as all steps of a tiny run.
    They are whole in the run of `finished_run`.
    """
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", save_black)

    def run(*arguments: str | Path) -> Outcome:
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["hrdet", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capfd.readouterr()
        return Outcome(int(ended.value.code or 0), printed.out, printed.err)

    return run


def tiny_options(data_root: Path, *more: str) -> list[str]:
    """Options of the tiny experiment with its data in a folder."""
    settings = [*TINY, f"data.root={data_root}", *more]
    return ["--preset", "demo", *(word for setting in settings for word in ("--set", setting))]


@dataclass(frozen=True)
class FinishedRun:
    """A run folder and what the run printed."""

    folder: Path
    data_root: Path
    stdout: str


@pytest.fixture(scope="session")
def demo_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of the tiny experiment, drawn once for all tests."""

    def draw(folder: Path) -> None:
        make_demo_data(folder / "data", seed=1, num_train_images=NUM_TRAIN_PICTURES, num_val_images=6)

    return made_once(tmp_path_factory, "demo", draw) / "data"


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory, demo_data: Path) -> FinishedRun:
    """``hrdet train`` on the tiny experiment, once for all tests, which leave it as it is."""

    def train(folder: Path) -> None:
        options = tiny_options(demo_data, "run.trackers=[tensorboard]")
        done = run_hrdet("train", *options, "--run-dir", str(folder / "runs" / "run"))
        assert done.returncode == 0, done.stderr
        (folder / "stdout").write_text(done.stdout, encoding="utf-8")

    folder = made_once(tmp_path_factory, "finished", train)
    return FinishedRun(folder / "runs" / "run", demo_data, (folder / "stdout").read_text(encoding="utf-8"))


@pytest.fixture
def unpacked(demo_data: Path, tmp_path: Path) -> Path:
    """The tiny experiment's data with pictures that can be changed one by one."""
    root = tmp_path / "d a t a"
    root.mkdir()
    for name in ("train.json", "val.json"):
        shutil.copy(demo_data / name, root)
    with zipfile.ZipFile(demo_data / "images.zip") as archive:
        archive.extractall(root)
    return root


def unpacked_options(root: Path, *more: str) -> list[str]:
    """Options of the tiny experiment with its data unpacked in a folder."""
    sources = [f"data.{part}={{annotations: {part}.json, images: images}}" for part in ("train", "val")]
    return tiny_options(root, "data.demo=null", *sources, *more)


def some_pictures(data_root: Path, folder: Path, count: int = 3) -> Path:
    """A folder with some of an experiment's pictures: sheets of all would take longer than a tiny run."""
    folder.mkdir()
    with zipfile.ZipFile(data_root / "images.zip") as archive:
        for name in archive.namelist()[:count]:
            (folder / Path(name).name).write_bytes(archive.read(name))
    return folder


def run_hrdet(*arguments: str) -> subprocess.CompletedProcess[str]:
    """``hrdet ARGUMENTS`` in a process of its own."""
    process = ForkedHrdet(*arguments)
    printed = process.communicate()
    return subprocess.CompletedProcess(arguments, process.wait(), *printed)


def metric_lines(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's ``metrics.jsonl``."""
    file = folder / "metrics.jsonl"  # not there before the first step is finished
    return [json.loads(line) for line in file.read_text().splitlines()] if file.is_file() else []
