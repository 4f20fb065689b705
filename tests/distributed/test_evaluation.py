"""An evaluation over one, two and three processes finds the same, to the last bit, and writes it once.

Masks go with their boxes.
"""

import json
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.training.checkpoint import save_checkpoint
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.runs.dataset.opening import DataNeeds, open_part
from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.runs.evaluation.detection import evaluate_detector
from hrdet_cli.runs.evaluation.evaluation import EvaluationReport, evaluate_trained
from hrdet_cli.runs.evaluation.result_files import Results
from hrdet_cli.runs.origin import Origin
from hrdet_cli.runs.trained_detector.reading import read_trained_detector
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import format_spec, load_spec
from tests.distributed.process_group import gloo_group, run_processes
from tests.tiny_network import tiny_network

pytestmark = [pytest.mark.distributed, pytest.mark.slow]

MAX_PROCESSES = 3
SETTINGS = [
    "data.demo={seed: 1, num_train_images: 1, num_val_images: 7}",
    "norm={kind: batch}",
    "model.head.mask={pool_cells: 7, num_convs: 1, channels: 8}",
    "evaluation.scale_pixels=[160, 128]",
    "evaluation.batch_size=2",
    "run.device=cpu",
]
ONE_BATCH_A_CANVAS = ["evaluation.batch_size=50"]


@dataclass(frozen=True)
class Outcome:
    """What one process saw of an evaluation: progress as (pictures done, all, stop asked), then the end."""

    progress: list[tuple[int, int, bool]]
    box: dict[str, float | None]
    num_pictures: int
    files: list[str]


def checkpoint_of(folder: Path) -> Path:
    return folder / "random.pt"


def build_experiment(folder: Path) -> tuple[ExperimentSpec, DatasetPart, Detector]:
    """A detector with random weights: it finds much, though nothing that is there."""
    spec = load_spec(preset="demo", settings=[*SETTINGS, f"data.root={folder / 'data'}"]).spec
    part = open_part(spec.data, "val", DataNeeds.of(spec.model.head), is_scored=True)
    torch.manual_seed(0)
    return spec, part, build_detector(spec, num_classes=len(part.annotations.class_names), trains=False)


def make_checkpoint(folder: Path) -> None:
    spec, part, detector = build_experiment(folder)
    state = {
        "spec": format_spec(spec),
        "class_names": list(part.annotations.class_names),
        "category_ids": list(part.annotations.category_ids),
        "model": detector.state_dict(),
    }
    save_checkpoint(checkpoint_of(folder), state)


def evaluate_with_own_statistics(folder: Path, *, size: int, rank: int) -> None:
    """Evaluate a detector whose running statistics differ by process, as those of unsynchronised norms do.

    The validation loss is computed, too.
    """
    spec, part, detector = build_experiment(folder)
    for buffer in detector.buffers():
        if buffer.is_floating_point():
            buffer += rank
    origin = Origin(
        weights="random",
        step=None,
        epoch=None,
        annotations=part.annotations.path,
        images=folder,
        fingerprint=part.annotations.fingerprint,
        num_pictures=len(part.annotations),
    )
    list(
        evaluate_detector(
            detector,
            spec,
            part,
            class_names=part.annotations.class_names,
            device=torch.device("cpu"),
            results=Results(origin=origin, folder=folder / f"own-statistics-{size}"),
            with_loss=True,
        )
    )


def evaluate(
    folder: Path, name: str, *, size: int, rank: int, settings: list[str], report: Path | None = None
) -> Outcome:
    """Evaluate in a group of so many; each process names another folder, and only the first a checkpoint."""
    source = checkpoint_of(folder) if rank == 0 else Path("nowhere")
    events = evaluate_trained(
        lambda: read_trained_detector(str(source), settings=settings),
        out=folder / f"{name}-{size}-{rank}",
        report=report,
    )
    progress: list[tuple[int, int, bool]] = []
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            evaluated: EvaluationReport = end.value
            evaluation = evaluated.evaluation
            files = [str(file) for file in evaluation.files]
            numbers = dict(evaluation.metrics.numbers["box"])
            return Outcome(progress, numbers, evaluation.origin.num_pictures, files)
        progress.append((event.num_done, event.num_in_all, event.stop_asked))


def stop_in_second_round(folder: Path, *, rank: int) -> list[bool]:
    """What each event says when rank 1 is asked to stop in the second round; leaves as a run does."""
    calls = iter(range(100))
    settings = ["evaluation.batch_size=1"]
    events = evaluate_trained(
        lambda: read_trained_detector(str(checkpoint_of(folder)), settings=settings),
        out=folder / "stopped",
        stop_asked=lambda: next(calls) == 1 and rank == 1,
    )
    told = []
    for event in events:
        told.append(event.stop_asked)
        if event.stop_asked:
            events.close()
    return told


def work(rank: int, folder_name: str) -> None:
    """What each of three processes does: as three, then the first two as two, then the first alone."""
    folder = Path(folder_name)
    for size in (3, 2, 1):
        if rank >= size:
            return
        with (
            tiny_network(),
            gloo_group(folder / f"store-{size}", rank=rank, size=size) if size > 1 else nullcontext(),
        ):
            outcomes: dict[str, object] = {
                "few": evaluate(folder, "few", size=size, rank=rank, settings=[]),
            }
            if size < MAX_PROCESSES:
                evaluate_with_own_statistics(folder, size=size, rank=rank)
            if size != 2:
                outcomes["one"] = evaluate(
                    folder,
                    "one",
                    size=size,
                    rank=rank,
                    settings=ONE_BATCH_A_CANVAS,
                    report=Path("report.html"),
                )
            if size == MAX_PROCESSES:
                outcomes["stopped"] = stop_in_second_round(folder, rank=rank)
            torch.save(outcomes, folder / f"{size}-{rank}.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Path:
    folder = tmp_path_factory.mktemp("evaluation")
    with tiny_network():
        make_checkpoint(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(pytestconfig.rootpath)  # the new processes import this file by its name
        run_processes(work, str(folder), size=MAX_PROCESSES)
    return folder


def outcomes_in(folder: Path, name: str, *, size: int) -> list[Outcome]:
    return [torch.load(folder / f"{size}-{rank}.pt", weights_only=False)[name] for rank in range(size)]


@pytest.mark.parametrize(("name", "size"), [("few", 2), ("few", 3), ("one", 3)])
def test_results_are_those_of_one_process_to_the_last_bit(folder: Path, name: str, size: int) -> None:
    for file in ("detections.json", "metrics.json"):
        alone = (folder / f"{name}-1-0" / file).read_bytes()
        assert len(alone) > 500
        assert b'"segmentation"' in alone or file == "metrics.json"
        assert (folder / f"{name}-{size}-0" / file).read_bytes() == alone


def test_the_report_is_that_of_one_process(folder: Path) -> None:
    for file in ("report.html", "report.suspects.json"):
        of_three = (folder / "one-3-0" / file).read_bytes().replace(b"one-3-0", b"one-1-0")
        assert of_three == (folder / "one-1-0" / file).read_bytes()
    assert "Errors of masks, by what they cost" in (folder / "one-1-0" / "report.html").read_text()


@pytest.mark.parametrize(("name", "size"), [("few", 2), ("few", 3), ("one", 3)])
def test_all_processes_know_the_result_and_only_the_first_writes(folder: Path, name: str, size: int) -> None:
    first, *others = outcomes_in(folder, name, size=size)
    (alone,) = outcomes_in(folder, name, size=1)
    assert first.box == alone.box
    assert first.num_pictures == 7
    assert all(Path(file).is_file() for file in first.files)
    assert all(other == first for other in others)
    assert [path.name for path in folder.glob(f"{name}-{size}-*")] == [f"{name}-{size}-0"]


def test_the_running_statistics_of_the_first_process_count(folder: Path) -> None:
    found = (folder / "own-statistics-2" / "detections.json").read_bytes()
    assert found == (folder / "few-1-0" / "detections.json").read_bytes()


def test_the_validation_loss_is_that_of_one_process_to_the_last_bit(folder: Path) -> None:
    alone, two = (folder / f"own-statistics-{size}" / "metrics.json" for size in (1, 2))
    losses = json.loads(alone.read_text())["losses"]
    assert losses.keys() == {"rpn_objectness", "rpn_box", "roi_class", "roi_box", "roi_mask"}
    assert all(loss > 0 for loss in losses.values())
    assert two.read_bytes() == alone.read_bytes()


def test_progress_counts_the_pictures_of_all_processes_in_rounds(folder: Path) -> None:
    def progress(name: str, size: int) -> list[tuple[int, int, bool]]:
        return outcomes_in(folder, name, size=size)[0].progress

    # 7 pictures on two canvases: 4 batches of at most two, shared out 2 + 1 + 1, or 2 batches for 3 processes
    assert [len(progress("few", size)) for size in (1, 2, 3)] == [4, 2, 2]
    assert [len(progress("one", size)) for size in (1, 3)] == [2, 1]
    for name, size in (("few", 1), ("few", 2), ("few", 3), ("one", 1), ("one", 3)):
        num_done = [done for done, _, _ in progress(name, size)]
        assert num_done == sorted(set(num_done))
        assert progress(name, size)[-1] == (7, 7, False)


def test_a_stop_asked_of_one_process_ends_the_evaluation_on_all_with_nothing_written(folder: Path) -> None:
    for rank in range(MAX_PROCESSES):
        outcomes = torch.load(folder / f"3-{rank}.pt", weights_only=False)
        assert outcomes["stopped"] == [False, True]
    assert not (folder / "stopped").exists()
