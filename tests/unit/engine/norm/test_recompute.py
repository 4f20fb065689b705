from collections.abc import Callable
from typing import cast

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from hrdet_cli.engine.norm.back_ends import NormBackEnd
from hrdet_cli.engine.norm.convert import NormKind, convert_norm
from hrdet_cli.engine.norm.recompute import Recomputation, run_segment
from tests.operator_counts import OperatorCounter


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
    kind: NormKind, back_end: NormBackEnd
) -> None:
    segments = [build_segment(), build_segment()]
    for segment in segments:
        convert_norm(segment, kind=kind, back_end=back_end, num_groups=2)

    kept = trained_once(segments[0], lambda s, x: run_segment(s, x, recompute="off"))
    recomputed = trained_once(segments[1], lambda s, x: run_segment(s, x, recompute="modules"))

    assert equal(kept, recomputed)


def test_a_bare_checkpoint_would_count_each_batch_twice() -> None:
    segment = build_segment()

    trained_once(segment, lambda s, x: checkpoint(s, x, use_reentrant=False))

    assert num_batches_recorded(segment) == 2  # the fault that run_segment is there to prevent


def test_of_what_autograd_saves_only_the_input_is_kept() -> None:
    segment = build_segment()
    x = torch.randn(2, 3, 9, 8)
    recomputed = num_values_saved(segment, x, recompute="modules")

    assert recomputed <= x.numel() < num_values_saved(segment, x, recompute="off")


def test_the_backward_pass_computes_all_again() -> None:
    segment = build_segment()
    loss = run_segment(segment, torch.randn(2, 3, 9, 8), recompute="modules").square().sum()

    with OperatorCounter() as counter:
        torch.autograd.backward([loss])

    assert counter.times[torch.ops.aten.convolution.default] == 2
    assert counter.times[torch.ops.aten.native_batch_norm.default] == 2


def test_under_autocast_gradients_are_the_same_bit_by_bit() -> None:
    def train(way: Recomputation) -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            return trained_once(
                build_segment(), lambda s, x: cast("Tensor", run_segment(s, x, recompute=way).float())
            )

    kept, recomputed = train("off"), train("modules")
    assert kept[0].abs().sum() > 0
    assert equal(kept, recomputed)


def test_a_graph_that_is_kept_can_be_gone_through_again() -> None:
    segment = build_segment()
    parameters = [*segment.parameters()]
    loss = run_segment(segment, torch.randn(2, 3, 9, 8), recompute="modules").square().sum()

    first = torch.autograd.grad(loss, parameters, retain_graph=True)
    second = torch.autograd.grad(loss, parameters)

    assert equal([*first], [*second])
    assert num_batches_recorded(segment) == 1


def test_statistics_are_recorded_again_after_the_backward_pass() -> None:
    segment = build_segment()
    for _ in range(2):
        trained_once(segment, lambda s, x: run_segment(s, x, recompute="modules"))

    assert num_batches_recorded(segment) == 2
