from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hrdet_cli.engine.benchmarking.traffic import CountingMode
from hrdet_cli.engine.norm.back_ends import NormBackEnd
from hrdet_cli.engine.norm.convert import NormKind, convert_norm
from hrdet_cli.engine.norm.recompute import Recomputation, run_segment
from tests.operator_counts import OperatorCounter


class StatisticsCounter(CountingMode):  # type: ignore[no-untyped-call]  # torch gives no types
    """Counts how often torch's batch norm takes the statistics of its input."""

    times = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.native_batch_norm.default:
            *_, is_in_training, _momentum, _eps = args
            self.times += is_in_training
        return func(*args, **(kwargs or {}))


def build_segment() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4)
    )


def trained_once(segment: nn.Sequential, run: Callable[[nn.Sequential, Tensor], Tensor]) -> list[Tensor]:
    """Output, gradients and everything in the state after one backward pass."""
    x = torch.randn(2, 3, 9, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    output = run(segment, x)
    inputs = [tensor for tensor in (x, *segment.parameters()) if tensor.requires_grad]
    gradients = torch.autograd.grad(output.square().sum(), inputs)
    return [output, *gradients, *segment.state_dict().values()]


def num_batches_recorded(segment: nn.Sequential) -> int:
    return int(segment.state_dict()["1.num_batches_tracked"])


def num_values_saved(segment: nn.Sequential, x: Tensor, *, recompute: Recomputation) -> int:
    sizes: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        run_segment(segment, x, recompute=recompute)
    return sum(sizes)


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("recompute", ["norms", "modules"])
@pytest.mark.parametrize(
    ("kind", "back_end"),
    [
        ("batch", "coalesced"),
        ("sync", "coalesced"),
        ("sync", "torch"),
        ("frozen", "coalesced"),
        ("group", "coalesced"),
    ],
)
def test_output_gradients_and_statistics_are_the_same_bit_by_bit(
    kind: NormKind, back_end: NormBackEnd, recompute: Recomputation
) -> None:
    segments = [build_segment(), build_segment()]
    for segment in segments:
        convert_norm(segment, kind=kind, back_end=back_end, num_groups=2)

    kept = trained_once(segments[0], lambda s, x: run_segment(s, x, recompute="off"))
    recomputed = trained_once(segments[1], lambda s, x: run_segment(s, x, recompute=recompute))

    assert equal(kept, recomputed)


def test_a_bare_checkpoint_would_count_each_batch_twice() -> None:
    segment = build_segment()

    trained_once(segment, lambda s, x: checkpoint(s, x, use_reentrant=False))

    assert num_batches_recorded(segment) == 2  # the fault that run_segment is there to prevent


def test_of_what_autograd_saves_only_the_input_is_kept() -> None:
    segment = build_segment()
    x = torch.randn(2, 3, 9, 8)
    ways: tuple[Recomputation, ...] = ("off", "norms", "modules")
    num_saved = {way: num_values_saved(segment, x, recompute=way) for way in ways}

    assert max(num_saved["norms"], num_saved["modules"]) <= x.numel() < num_saved["off"]


@pytest.mark.parametrize(("recompute", "num_convolutions"), [("off", 0), ("norms", 0), ("modules", 2)])
def test_the_backward_pass_normalises_again_and_convolves_again_only_where_all_is_recomputed(
    recompute: Recomputation, num_convolutions: int
) -> None:
    segment = build_segment()
    loss = run_segment(segment, torch.randn(2, 3, 9, 8), recompute=recompute).square().sum()

    with OperatorCounter() as counter:
        torch.autograd.backward([loss])

    assert counter.times[torch.ops.aten.convolution.default] == num_convolutions
    assert counter.times[torch.ops.aten.native_batch_norm.default] == (0 if recompute == "off" else 2)


def test_where_norms_alone_are_recomputed_their_statistics_are_taken_once() -> None:
    segment = build_segment()

    with StatisticsCounter() as counter:
        torch.autograd.backward([run_segment(segment, torch.randn(2, 3, 9, 8), recompute="norms").sum()])

    assert counter.times == 2


def test_norms_without_weights_are_the_same_bit_by_bit_when_recomputed() -> None:
    def segment() -> nn.Sequential:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8, affine=False), nn.Conv2d(8, 4, 3))

    kept = trained_once(segment(), lambda s, x: run_segment(s, x, recompute="off"))
    recomputed = trained_once(segment(), lambda s, x: run_segment(s, x, recompute="norms"))

    assert equal(kept, recomputed)


@pytest.mark.parametrize("recompute", ["norms", "modules"])
def test_under_autocast_gradients_are_the_same_bit_by_bit(recompute: Recomputation) -> None:
    def train(way: Recomputation) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return trained_once(
                build_segment(), lambda s, x: cast("Tensor", run_segment(s, x, recompute=way).float())
            )

    kept, recomputed = train("off"), train(recompute)
    assert kept[0].abs().sum() > 0
    assert equal(kept, recomputed)


@pytest.mark.parametrize("recompute", ["norms", "modules"])
def test_a_graph_that_is_kept_can_be_gone_through_again(recompute: Recomputation) -> None:
    segment = build_segment()
    parameters = [*segment.parameters()]
    loss = run_segment(segment, torch.randn(2, 3, 9, 8), recompute=recompute).square().sum()

    first = torch.autograd.grad(loss, parameters, retain_graph=True)
    second = torch.autograd.grad(loss, parameters)

    assert equal([*first], [*second])
    assert num_batches_recorded(segment) == 1


@pytest.mark.parametrize("recompute", ["norms", "modules"])
def test_statistics_are_recorded_again_after_the_backward_pass(recompute: Recomputation) -> None:
    segment = build_segment()
    for _ in range(2):
        trained_once(segment, lambda s, x: run_segment(s, x, recompute=recompute))

    assert num_batches_recorded(segment) == 2
