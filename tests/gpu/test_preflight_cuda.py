"""The largest step on a GPU: what it leaves behind, and what fits into a GPU's real limit."""

import pytest
import torch

from hrdet_cli.engine.data.noise import make_noise_batch
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.training.rehearsal import fits_into_memory
from hrdet_cli.runs.build.detector import build_detector, place_detector
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.build.steps import build_steps
from hrdet_cli.runs.build.trainer import build_trainer
from hrdet_cli.runs.dataset.opening import open_part
from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.runs.preflight import LargestBatches, find_batch_size, find_most_pictures
from hrdet_cli.runs.stopping import never
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import load_spec
from hrdet_cli.specs.optimisation import EmaSpec
from tests.needs_gpu import NEEDS_GPU

pytestmark = NEEDS_GPU

CUDA = torch.device("cuda", 0)
LIMIT_BYTES = 2 * 2**30


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> ExperimentSpec:
    root = tmp_path_factory.mktemp("demo")
    demo = "data.demo={seed: 1, num_train_images: 200, num_val_images: 2}"
    return load_spec(preset="demo", settings=[f"data.root={root}", demo, "run.device=cuda"]).spec


@pytest.fixture(scope="module")
def part(spec: ExperimentSpec) -> DatasetPart:
    return open_part(spec.data, "train")


def test_a_rehearsal_on_a_gpu_changes_no_bit_and_tells_its_peak(
    spec: ExperimentSpec, part: DatasetPart
) -> None:
    detector = place_detector(build_detector(spec, num_classes=6, trains=True), spec.run, CUDA)
    loader = build_training_loader(spec, part, CUDA)
    trainer = build_trainer(spec, detector, loader, CUDA, learning_rate=0.01, stop_asked=never)
    next(trainer.train_epoch())
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    momenta = [s["momentum_buffer"].clone() for s in trainer.state_dict()["optimiser"]["state"].values()]
    generator = torch.cuda.get_rng_state(CUDA)
    costs = [
        trainer.rehearse(make_noise_batch(Size(256, 320), num_pictures=n, num_boxes=9, num_classes=6))
        for n in (2, 8)
    ]
    assert all(torch.equal(tensor, before[name]) for name, tensor in detector.state_dict().items())
    after = [s["momentum_buffer"] for s in trainer.state_dict()["optimiser"]["state"].values()]
    assert all(torch.equal(one, other) for one, other in zip(momenta, after, strict=True))
    assert torch.equal(torch.cuda.get_rng_state(CUDA), generator)
    assert costs[0].peak_memory_bytes < costs[1].peak_memory_bytes
    assert all(cost.seconds > 0 for cost in costs)


def test_a_rehearsal_knows_the_memory_of_an_average_and_leaves_it_alone(
    spec: ExperimentSpec, part: DatasetPart
) -> None:
    averaging = spec.model_copy(
        update={"optimisation": spec.optimisation.model_copy(update={"ema": EmaSpec(decay=0.9)})}
    )
    peaks = []
    for some_spec in (spec, averaging):
        detector = place_detector(build_detector(spec, num_classes=6, trains=True), spec.run, CUDA)
        loader = build_training_loader(spec, part, CUDA)
        trainer = build_trainer(some_spec, detector, loader, CUDA, learning_rate=0.01, stop_asked=never)
        batch = make_noise_batch(Size(256, 320), num_pictures=4, num_boxes=9, num_classes=6)
        trainer.rehearse(batch)  # the first one of a process has its own workspaces
        held = torch.cuda.memory_allocated(CUDA)
        peaks.append(trainer.rehearse(batch).peak_memory_bytes - held)
        num_bytes = sum(tensor.nbytes for tensor in detector.state_dict().values())
        num_held = 1 if trainer.averaged_model is None else 2
        assert held >= num_held * num_bytes
        assert trainer.state_dict().get("ema_num_steps", 0) == 0
    assert peaks[1] == pytest.approx(peaks[0], rel=0.05), "beside the average itself a step needs no more"


def test_a_real_lack_of_memory_is_known() -> None:
    total = torch.cuda.get_device_properties(CUDA).total_memory
    assert not fits_into_memory(lambda: torch.empty(2 * total, dtype=torch.uint8, device=CUDA))


def test_the_batch_that_is_found_leaves_memory_to_spare(spec: ExperimentSpec, part: DatasetPart) -> None:
    total = torch.cuda.get_device_properties(CUDA).total_memory
    torch.cuda.set_per_process_memory_fraction(LIMIT_BYTES / total, CUDA)
    try:
        steps = build_steps(spec, part.annotations, num_processes=1)
        batches = LargestBatches(steps, num_classes=len(part.annotations.class_names))
        most = find_most_pictures(spec, batches, part, CUDA, most=200)
        assert 1 <= most < 200
        with pytest.MonkeyPatch.context() as patch:  # a tenth of the limit, not of the GPU
            patch.setattr("hrdet_cli.runs.preflight.HEADROOM", 0.1 * LIMIT_BYTES / total)
            assert 1 <= find_batch_size(spec, part, CUDA) < most
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, CUDA)
