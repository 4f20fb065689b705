"""What a step on a GPU computes in, whether it gives the same bits again, and where its memory is."""

import copy
from collections.abc import Callable, Iterator
from itertools import islice

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.engine.training.reports import StepReport
from hrdet_cli.runs.build.detector import build_detector, place_detector
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.build.trainer import build_trainer
from hrdet_cli.runs.dataset.opening import open_part
from hrdet_cli.runs.dataset.part import DatasetPart
from hrdet_cli.runs.stopping import never
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import load_spec
from tests.needs_gpu import NEEDS_GPU

pytestmark = NEEDS_GPU

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)


def errors_of(numerics: Numerics) -> tuple[float, float]:
    """Relative errors of a product and of a convolution, of the backward pass too."""
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(512, 512, generator=generator, dtype=torch.float64) for _ in range(2))
    maps = torch.randn(4, 64, 32, 32, generator=generator, dtype=torch.float64)
    weight = torch.randn(64, 64, 3, 3, generator=generator, dtype=torch.float64)
    errors = []
    cases: list[tuple[Callable[[Tensor, Tensor], Tensor], Tensor, Tensor]] = [
        (torch.matmul, one, other),
        (convolved, maps, weight),
    ]
    for compute, *inputs in cases:
        exact = with_gradients(compute, [x.clone().requires_grad_() for x in inputs])
        with numerics.applied():
            found = with_gradients(compute, [x.to(CUDA, torch.float32).requires_grad_() for x in inputs])
        errors.append(max(relative(a, b) for a, b in zip(found, exact, strict=True)))
    return errors[0], errors[1]


def convolved(maps: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(maps, weight)


def with_gradients(compute: Callable[[Tensor, Tensor], Tensor], leaves: list[Tensor]) -> list[Tensor]:
    result = compute(leaves[0], leaves[1])
    return [result, *torch.autograd.grad(result.square().sum(), leaves)]


def relative(found: Tensor, exact: Tensor) -> float:
    return float((found.detach().cpu().double() - exact.detach()).abs().max() / exact.detach().abs().max())


def test_float32_is_float32_and_tf32_is_not() -> None:
    assert max(errors_of(Numerics())) < 1e-5
    if torch.cuda.get_device_capability(CUDA) >= (8, 0):
        assert min(errors_of(Numerics(tf32=True))) > 1e-5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("demo"))


def spec_of(root: str, *settings: str) -> ExperimentSpec:
    demo = "data.demo={seed: 1, num_train_images: 24, num_val_images: 2}"
    return load_spec(preset="demo", settings=[f"data.root={root}", demo, "run.device=cuda", *settings]).spec


def train(
    spec: ExperimentSpec, part: DatasetPart, device: torch.device, *, num_steps: int
) -> tuple[nn.Module, list[StepReport]]:
    torch.manual_seed(0)
    detector = build_detector(spec, num_classes=6, trains=True)
    place_detector(detector, spec.run, device)
    with build_training_loader(spec, part, device) as loader:
        trainer = build_trainer(spec, detector, loader, device, learning_rate=0.01, stop_asked=never)

        def reports() -> Iterator[StepReport]:
            while not trainer.is_finished:
                yield from trainer.train_epoch()

        return detector, list(islice(reports(), num_steps))


def test_steps_that_must_be_deterministic_give_the_same_bits(root: str) -> None:
    spec = spec_of(root, "run.deterministic=true")
    part = open_part(spec.data, "train")
    results = [train(spec, part, CUDA, num_steps=6) for _ in range(2)]
    losses = [[report.losses for report in reports] for _, reports in results]
    assert losses[0] == losses[1]
    states = [detector.state_dict() for detector, _ in results]
    assert all(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items())


def test_losses_in_float64_are_those_of_the_cpu(root: str) -> None:
    spec = spec_of(root, "run.precision=float64")
    part = open_part(spec.data, "train")
    of_devices = [train(spec, part, device, num_steps=4)[1] for device in (CPU, CUDA)]
    for on_cpu, on_cuda in zip(*of_devices, strict=True):
        assert on_cuda.losses == pytest.approx(on_cpu.losses, rel=1e-5)


def test_weights_lie_channels_last_and_a_loaded_state_lies_as_they_do(root: str) -> None:
    spec = spec_of(root)
    part = open_part(spec.data, "train")
    with build_training_loader(spec, part, CUDA) as loader:
        detector = place_detector(build_detector(spec, num_classes=6, trains=True), spec.run, CUDA)
        assert detector.backbone.conv1.weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[union-attr, operator]
        trainer = build_trainer(spec, detector, loader, CUDA, learning_rate=0.01, stop_asked=never)
        list(islice(trainer.train_epoch(), 2))
        state = copy.deepcopy(trainer.state_dict())
        momenta = state["optimiser"]["state"].values()
        for of_one in momenta:
            of_one["momentum_buffer"] = of_one["momentum_buffer"].cpu().contiguous()
        trainer.load_state_dict(state)
        list(islice(trainer.train_epoch(), 1))  # fused kernels refuse other layouts


def streams_with_memory() -> set[int]:
    torch.cuda.empty_cache()
    return {segment["stream"] for segment in torch.cuda.memory_snapshot()}  # type: ignore[no-untyped-call]


def test_the_copies_of_all_epochs_share_one_stream_and_its_memory(root: str) -> None:
    spec = spec_of(root, "data.batch_size_per_process=8", "optimisation.num_epochs=6")
    part = open_part(spec.data, "train")
    before = streams_with_memory()
    with build_training_loader(spec, part, CUDA) as loader:
        detector = place_detector(build_detector(spec, num_classes=6, trains=True), spec.run, CUDA)
        trainer = build_trainer(spec, detector, loader, CUDA, learning_rate=0.0, stop_asked=never)
        while not trainer.is_finished:
            list(trainer.train_epoch())
        segments = torch.cuda.memory_snapshot()  # type: ignore[no-untyped-call]
    used = {segment["stream"] for segment in segments} - before
    assert len(used - {torch.cuda.default_stream(CUDA).cuda_stream}) <= 1
