"""Back ends of SyncBN, measured side by side on one training step over several processes."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from hrdet_cli.engine.benchmarking.traffic import Traffic, TrafficCounter
from hrdet_cli.engine.benchmarking.whole_batch import StepResult, step_on_whole_batch
from hrdet_cli.engine.benchmarking.workload import Workload, convolutions_by_depth
from hrdet_cli.engine.distributed.collectives import (
    broadcast_from_first,
    gather_everywhere,
    sum_over_processes,
    wait_for_all,
)
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.models.backbones.hrnet import HRNet
from hrdet_cli.engine.models.backbones.resnet import ResNet
from hrdet_cli.engine.norm.back_ends import NormBackEnd
from hrdet_cli.engine.norm.convert import convert_norm


@dataclass(frozen=True, slots=True)
class StepSeconds:
    """Times of a step, forward and backward pass; each is that of the slowest process."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far a step is from the exact result; all in float64, so that rounding has no part in it.

    Attributes:
        loss: Relative error of the loss.
        gradient: Length of the gradient's error, relative to the exact gradient's length.
        cosine_by_layer: Cosine between gradient and exact gradient of each convolution, in order of depth.
    """

    loss: float
    gradient: float
    cosine_by_layer: dict[str, float]

    @property
    def lowest_cosine(self) -> float:
        """That of the worst layer."""
        return min(self.cosine_by_layer.values())


@dataclass(frozen=True, slots=True)
class BackEndMeasurement:
    """One back end on one workload."""

    back_end: NormBackEnd
    forward: Traffic
    backward: Traffic
    seconds: StepSeconds
    deviation: Deviation


@dataclass(frozen=True, slots=True)
class WorkloadMeasurement:
    """Back ends side by side.

    Attributes:
        workload: The step.
        computation: Step of the same networks with plain BatchNorm, which sends nothing.
        back_ends: One measurement each.
    """

    workload: Workload
    computation: StepSeconds
    back_ends: tuple[BackEndMeasurement, ...]


def measure_back_ends(
    device: torch.device,
    *,
    workloads: Sequence[Workload],
    back_ends: Sequence[NormBackEnd],
    num_steps: int,
) -> list[WorkloadMeasurement]:
    """Measure back ends side by side; every process of the group calls it.

    Args:
        device: Of this process.
        workloads: What a step is; each has a size for each process of the group.
        back_ends: What to compare.
        num_steps: Timed steps for each; they take turns, so that a machine's moods hit all alike.

    Returns:
        A measurement for each workload, the same on every process.
    """
    return [_measure(workload, back_ends, device, num_steps) for workload in workloads]


def exact_result(workload: Workload, device: torch.device) -> StepResult:
    """The step as one process makes it that holds the pictures of all; float64."""
    network = workload.build_network().double().to(device)
    pictures = [workload.make_picture(rank).to(device) for rank in range(len(workload.sizes))]
    return step_on_whole_batch(network, pictures, lambda features: workload.loss(features, network.strides))


def result_over_processes(workload: Workload, back_end: NormBackEnd, device: torch.device) -> StepResult:
    """The same step over all processes of the group, losses and gradients added up; float64."""
    network = _build(workload, back_end, device, torch.float64)
    picture = workload.make_picture(current_world().rank).to(device)
    loss = workload.loss(network(picture), network.strides)
    gradients = _gradients(loss, network)
    total = sum_over_processes(torch.cat([gradient.flatten() for gradient in gradients]), what="gradients")
    parts = torch.split(total, [gradient.numel() for gradient in gradients])
    names = [name for name, _ in network.named_parameters()]
    return StepResult(
        sum_over_processes(loss, what="loss").item(),
        {name: part.view_as(old) for name, part, old in zip(names, parts, gradients, strict=True)},
    )


def compare_results(found: StepResult, exact: StepResult, *, layers: Sequence[str]) -> Deviation:
    """How far one result of a step is from another.

    Args:
        found: The one in question.
        exact: What it ought to be.
        layers: Names of convolutions, whose weights' gradients are compared one by one.
    """
    errors = torch.stack([(found.gradients[name] - want).norm() for name, want in exact.gradients.items()])
    lengths = torch.stack([want.norm() for want in exact.gradients.values()])
    weights = {layer: f"{layer}.weight" for layer in layers}
    return Deviation(
        loss=abs(found.loss - exact.loss) / abs(exact.loss),
        gradient=(errors.norm() / lengths.norm()).item(),
        cosine_by_layer={
            layer: _cosine(found.gradients[weight], exact.gradients[weight])
            for layer, weight in weights.items()
        },
    )


def _measure(
    workload: Workload, back_ends: Sequence[NormBackEnd], device: torch.device, num_steps: int
) -> WorkloadMeasurement:
    deviations = _deviations(workload, back_ends, device)
    networks = [_build(workload, back_end, device, torch.float32) for back_end in (None, *back_ends)]
    picture = workload.make_picture(current_world().rank).to(device, torch.float32)
    messages = [_count_messages(workload, network, picture) for network in networks]  # and so they warm up
    rounds = [[_time_step(workload, network, picture) for network in networks] for _ in range(num_steps)]
    of_slowest = torch.tensor(gather_everywhere(rounds, what="step times")).amax(dim=0)
    computation, *seconds = [
        StepSeconds(median(times), min(times), max(times)) for times in of_slowest.T.tolist()
    ]
    measured = zip(back_ends, messages[1:], seconds, deviations, strict=True)
    return WorkloadMeasurement(
        workload,
        computation,
        tuple(
            BackEndMeasurement(back_end, forward, backward, times, deviation)
            for back_end, (forward, backward), times, deviation in measured
        ),
    )


def _deviations(
    workload: Workload, back_ends: Sequence[NormBackEnd], device: torch.device
) -> list[Deviation]:
    """Rank 0 compares; the others wait for it."""
    is_first = current_world().rank == 0
    exact = exact_result(workload, device) if is_first else None
    layers = convolutions_by_depth(workload)
    deviations = []
    for back_end in back_ends:
        found = result_over_processes(workload, back_end, device)
        if exact is not None:
            deviations.append(compare_results(found, exact, layers=layers))
    return broadcast_from_first(deviations, what="deviations")


def _count_messages(workload: Workload, network: HRNet | ResNet, picture: Tensor) -> tuple[Traffic, Traffic]:
    """What one step sends in its forward and in its backward pass."""
    with TrafficCounter() as forward:
        loss = workload.loss(network(picture), network.strides)
    with TrafficCounter() as backward:
        _gradients(loss, network)
    return forward.traffic(), backward.traffic()


def _time_step(workload: Workload, network: HRNet | ResNet, picture: Tensor) -> float:
    """Seconds of one step, from when all processes are ready."""
    wait_for_all(what="start of a step")
    _wait_for_device(picture.device)
    started = time.perf_counter()
    _gradients(workload.loss(network(picture), network.strides), network)
    _wait_for_device(picture.device)
    return time.perf_counter() - started


def _gradients(loss: Tensor, network: nn.Module) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, tuple(network.parameters()))


def _build(
    workload: Workload, back_end: NormBackEnd | None, device: torch.device, dtype: torch.dtype
) -> HRNet | ResNet:
    network = workload.build_network().to(device, dtype)
    if back_end is not None:
        convert_norm(network, kind="sync", back_end=back_end)
    return network


def _wait_for_device(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _cosine(a: Tensor, b: Tensor) -> float:
    return float((a * b).sum() / (a.norm() * b.norm()))
