"""What a job is given: shared memory, time to save, storage, and the container that is built for it."""

import re
from pathlib import Path, PurePosixPath

import pytest

from hrdet_cli.engine.data.workers import NUM_BATCHES_AHEAD
from hrdet_cli.errors import OutputError, SpecError
from hrdet_cli.runs.jobs.grace import grace_of
from hrdet_cli.runs.jobs.mounts import TO_FILL, Mount, complete_mounts, refuse_relative
from hrdet_cli.runs.jobs.shared_memory import largest_canvas_pixels, shared_bytes_per_node
from hrdet_cli.runs.run_folder import RunFolder
from hrdet_cli.runs.run_record import RunRecord
from hrdet_cli.runs.worker_rings import BLOCKS_PER_WORKER, BYTES_PER_GPU
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import load_spec

ROOT = Path(__file__).parents[4]


def spec_of(preset: str, *settings: str) -> ExperimentSpec:
    return load_spec(preset=preset, settings=settings).spec


def test_shared_memory_is_that_of_all_rings_of_batches() -> None:
    spec = spec_of("hrnet-w18-mstrain-pad", "data.num_workers=2", "data.batch_size_per_process=4")
    # Of a worker 3 batches of 4 pictures on 1600x1024 and 3 of a picture on 1344x800, 3 bytes a pixel.
    worker = 3 * (4 * 3 * 1600 * 1024 + 3 * 1344 * 800)
    assert shared_bytes_per_node(spec, num_gpus=8) == 8 * (2 * worker + BYTES_PER_GPU)


def test_masks_take_shared_memory_too() -> None:
    plain, masks = (
        shared_bytes_per_node(
            spec_of(name, "data.num_workers=1", "data.batch_size_per_process=1"), num_gpus=1
        )
        for name in ("demo", "demo-mask")
    )
    assert masks - plain == 3 * 128 * 112 * 112


def test_an_evaluation_takes_what_its_largest_view_and_its_losses_need() -> None:
    def needed(*settings: str) -> int:
        own = ("data.num_workers=1", "evaluation.batch_size=2", "evaluation.scale_pixels=[320, 256]")
        return shared_bytes_per_node(spec_of("demo-mask", *own, *settings), num_gpus=1)

    views = "evaluation.test_time_augmentation={scales_pixels: [[320, 256], [620, 512]]}"
    assert needed(views) - needed() == 3 * 2 * 3 * (640 * 512 - 320 * 256)
    assert needed("evaluation.with_loss=true") - needed() == 3 * 2 * 128 * 112 * 112


def test_a_worker_keeps_as_many_batches_as_it_is_reckoned_with() -> None:
    assert BLOCKS_PER_WORKER == NUM_BATCHES_AHEAD + 1


@pytest.mark.parametrize(
    ("preset", "settings", "pixels"),
    [
        ("hrnet-w18-mstrain-pad", (), 1600 * 1024),
        ("hrnet-w18", (), 1344 * 800),
        ("hrnet-w18", ("padding.divisor_pixels=128",), 1408 * 896),
        ("lsj-w18", ("padding={policy: canvases}", "augmentation.edge_pixels=1000"), 1024 * 1024),
    ],
)
def test_no_batch_lies_on_a_larger_canvas(preset: str, settings: tuple[str, ...], pixels: int) -> None:
    assert largest_canvas_pixels(spec_of(preset, *settings)) == pixels


def test_a_batch_of_unknown_size_has_no_shared_memory() -> None:
    with pytest.raises(SpecError, match="batch_size_per_process: is auto"):
        shared_bytes_per_node(spec_of("demo", "data.batch_size_per_process=auto"), num_gpus=1)


def test_time_to_save_is_made_of_the_slowest_step_and_checkpoint(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_spec("name: a\n")
    record = RunRecord(({"largest_step": {"seconds": 1.5}}, {"largest_step": None}))
    folder.write_record(record)
    with pytest.raises(OutputError, match="does not say what a step and a checkpoint took"):
        grace_of(folder)
    folder.write_record(record.with_checkpoint(4.0, 100).with_checkpoint(2.0, 100))
    grace = grace_of(folder)
    assert grace.seconds == 50  # 2 x (1.5 + 4) + 30 = 41, in tens
    assert grace.reason.startswith("twice the slowest step (1.5 s) and checkpoint (4.0 s) of")


def test_a_folder_without_a_run_has_no_times(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is not a run folder"):
        grace_of(RunFolder(tmp_path / "nothing"))


def test_the_source_of_a_mount_may_have_colons() -> None:
    mount = Mount.parse("azureml://datastores/a/paths/b:/data")
    assert mount == Mount("azureml://datastores/a/paths/b", PurePosixPath("/data"))
    assert mount.holds("/data/x.json")
    assert not mount.holds("/database")


@pytest.mark.parametrize("text", ["/data", "claim:data", ":/data", "s3://bucket"])
def test_other_texts_are_no_mounts(text: str) -> None:
    with pytest.raises(SpecError, match="is to be SOURCE:PATH"):
        Mount.parse(text)


def test_folders_that_nothing_holds_are_left_to_fill_in_once() -> None:
    mounts = complete_mounts(
        [Mount("runs", PurePosixPath("/runs"))],
        run_dir="/runs/a",
        data=["/data/train.json", "/data/train.zip", "/data/more/val.json"],
    )
    assert mounts == (Mount("runs", PurePosixPath("/runs")), Mount(TO_FILL, PurePosixPath("/data")))


def test_in_a_container_paths_are_whole() -> None:
    with pytest.raises(SpecError, match=r"--run-dir runs/a: give the whole path.*such as /data/runs/a"):
        refuse_relative([("--run-dir", "runs/a"), ("--spec", "/spec.yaml")])


def test_the_container_has_the_torch_that_hrdet_was_tested_with() -> None:
    image = re.search(r"pytorch/pytorch:([0-9.]+)-cuda", (ROOT / "Dockerfile").read_text())
    locked = re.search(r"^torch==([0-9.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert image is not None
    assert locked is not None
    assert image[1] == locked[1]
