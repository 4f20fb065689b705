"""Features that are made again in the backward pass, against those that autograd keeps."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hrdet_cli.engine.models.backbones.deformable import DeformableConv
from hrdet_cli.engine.norm.fixed import FixedBatchNorm2d
from hrdet_cli.engine.norm.recompute import Recomputation, run_segment
from hrdet_cli.engine.norm.remade import note_way, rectify
from hrdet_cli.engine.norm.sync import SyncBatchNorm2d, normalise
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import Size
from tests.kept_inputs import KeptInputs
from tests.operator_counts import OperatorCounter

AREA = ValidArea.on_canvas(Size(64, 96), torch.tensor([[64, 40], [20, 96]]))
BATCH = nn.BatchNorm2d(4)
NORMS = {
    "batch": BATCH,
    "without scale and shift": nn.BatchNorm2d(4, affine=False),
    "without running statistics": nn.BatchNorm2d(4, track_running_stats=False),
    "in evaluation": nn.BatchNorm2d(4).eval(),
    "fixed": FixedBatchNorm2d(4),
    "synchronised": SyncBatchNorm2d(4),
    "synchronised one by one": SyncBatchNorm2d(4, back_end="per-layer"),
    "group": nn.GroupNorm(2, 4),
    "none": nn.Identity(),
}


def build_conv(in_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, 4, kernel_size=3, padding=1, bias=False)


class Blocks(nn.Module):
    """A convolution and a norm, two residual ones, and a last convolution."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convs = nn.ModuleList([build_conv(3), *(build_conv(4) for _ in range(3))])
        self.norms = nn.ModuleList(copy.deepcopy(norm) for _ in range(3))
        for parameter in self.norms.parameters():
            nn.init.normal_(parameter)

    def forward(self, x: Tensor, area: ValidArea | None = None) -> Tensor:
        first, *others, last = self.convs
        x = rectify(normalise(self.norms[0], first(x), area))
        for conv, norm in zip(others, [*self.norms][1:], strict=True):
            x = rectify(normalise(norm, conv(x), area), plus=x)
        convolved: Tensor = last(x)
        return convolved


def draw_pictures() -> Tensor:
    return torch.randn(2, 3, 8, 12, generator=torch.Generator().manual_seed(1)).requires_grad_()


def results_of(blocks: Blocks, output: Tensor, pictures: Tensor) -> dict[str, Tensor]:
    torch.autograd.backward([output.float().square().sum()])
    gradients = {name: p.grad for name, p in blocks.named_parameters() if p.grad is not None}
    assert pictures.grad is not None
    return {"output": output.detach(), "of pictures": pictures.grad, **gradients, **blocks.state_dict()}


def differences(
    build: Callable[[], Blocks],
    area: ValidArea | None = None,
    layout: torch.memory_format = torch.contiguous_format,
    dtype: torch.dtype = torch.float32,
) -> list[str]:
    """What is not the same, bit by bit, with features that are kept and with those made again.

    Another dtype than float32 is that of autocast, outside of which the backward pass is, as in a training.
    """
    found: dict[Recomputation, dict[str, Tensor]] = {}
    ways: tuple[Recomputation, ...] = ("off", "norms")
    for way in ways:
        blocks, pictures = build(), draw_pictures()
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            output = run_segment(blocks, pictures.to(memory_format=layout), area, recompute=way)
        found[way] = results_of(blocks, output, pictures)
    assert list(found["off"]) == list(found["norms"])
    return [name for name, tensor in found["off"].items() if not torch.equal(tensor, found["norms"][name])]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("area", [None, AREA], ids=["everywhere", "area"])
@pytest.mark.parametrize("norm", NORMS)
def test_output_gradients_and_statistics_are_the_same_bit_by_bit(
    norm: str, area: ValidArea | None, layout: torch.memory_format, dtype: torch.dtype
) -> None:
    assert differences(lambda: Blocks(NORMS[norm]), area, layout, dtype) == []


@pytest.mark.parametrize("area", [None, AREA], ids=["everywhere", "area"])
@pytest.mark.parametrize("norm", sorted(NORMS.keys() - {"none"}))
def test_nothing_that_convolutions_read_is_kept(norm: str, area: ValidArea | None) -> None:
    kept, remade = Blocks(NORMS[norm]), Blocks(NORMS[norm])
    inputs = [KeptInputs(blocks.convs[1:]) for blocks in (kept, remade)]
    outputs = (
        run_segment(kept, draw_pictures(), area, recompute="off"),
        run_segment(remade, draw_pictures(), area, recompute="norms"),
    )
    assert [(read.num_read, read.num_kept) for read in inputs] == [(3, 3), (3, 0)]
    del outputs


def test_each_norm_is_applied_once_more_in_a_backward_pass_and_nothing_else() -> None:
    blocks = Blocks(BATCH)
    loss = run_segment(blocks, draw_pictures(), recompute="norms").square().sum()
    gradients = []
    for _ in range(2):
        with OperatorCounter() as counter:
            gradients.append(torch.autograd.grad(loss, [*blocks.parameters()], retain_graph=True))
        assert counter.times[torch.ops.aten.native_batch_norm.default] == 3
        assert counter.times[torch.ops.aten.convolution.default] == 0
    assert all(torch.equal(first, second) for first, second in zip(*gradients, strict=True))


def test_layers_that_do_not_learn_ask_for_less() -> None:
    def build() -> Blocks:
        blocks = Blocks(BATCH)
        blocks.convs[1].requires_grad_(False)
        blocks.norms[2].requires_grad_(False)
        return blocks

    assert differences(build) == []


def test_gradients_of_gradients_are_those_of_features_that_are_kept() -> None:
    def curvature(way: Recomputation) -> Tensor:
        pictures = draw_pictures()
        loss = run_segment(Blocks(BATCH).double(), pictures.double(), recompute=way).square().sum()
        (slope,) = torch.autograd.grad(loss, [pictures], create_graph=True)
        (found,) = torch.autograd.grad(slope.square().sum(), [pictures])
        return found

    torch.testing.assert_close(curvature("norms"), curvature("off"))


def test_a_deformable_convolution_reads_them_too() -> None:
    def build() -> Blocks:
        blocks = Blocks(BATCH)
        deformable = DeformableConv(build_conv(4), version="v2")
        nn.init.normal_(deformable.conv_offset.weight)
        blocks.convs[2] = deformable
        return blocks

    assert differences(build) == []


@pytest.mark.parametrize("trains", [True, False])
def test_a_norm_may_change_its_mode_before_the_backward_pass(trains: bool) -> None:
    def gradient(way: Recomputation) -> Tensor:
        blocks, pictures = Blocks(BATCH).train(trains), draw_pictures()
        loss = run_segment(blocks, pictures, recompute=way).square().sum()
        blocks.train(not trains)
        return torch.autograd.grad(loss, [pictures])[0]

    assert torch.equal(gradient("norms"), gradient("off"))


@pytest.mark.parametrize("layer", ["norm", "relu"])
def test_what_is_changed_behind_a_layer_is_kept_as_it_is(layer: str) -> None:
    class Changed(Blocks):
        def forward(self, x: Tensor, area: ValidArea | None = None) -> Tensor:
            first, second, *_ = self.convs
            y = normalise(self.norms[0], first(x), area)
            y = rectify(y.mul_(2)) if layer == "norm" else rectify(y).mul_(2)
            convolved: Tensor = second(y)
            return convolved

    def gradients(run: Callable[[Blocks, Tensor], Tensor]) -> tuple[Tensor, ...]:
        blocks = Changed(BATCH)
        parameters = [*blocks.convs[:2].parameters(), *blocks.norms[0].parameters()]
        return torch.autograd.grad(run(blocks, draw_pictures()).square().sum(), parameters)

    def without_changes(blocks: Blocks, x: Tensor) -> Tensor:
        convolved: Tensor = blocks.convs[1](F.relu(blocks.norms[0](blocks.convs[0](x))) * 2)
        return convolved

    found = gradients(lambda blocks, x: run_segment(blocks, x, recompute="norms"))
    torch.testing.assert_close(found, gradients(without_changes))


def test_what_is_kept_must_not_change_before_the_backward_pass() -> None:
    blocks = Blocks(BATCH)
    loss = run_segment(blocks, draw_pictures(), recompute="norms").square().sum()
    blocks.convs[2].get_parameter("weight").detach().mul_(2)
    with pytest.raises(RuntimeError, match=r"shape \(4, 4, 3, 3\) that the backward pass needs was changed"):
        torch.autograd.backward([loss])


def test_features_that_were_made_again_are_dropped_in_the_backward_pass() -> None:
    made = KeptInputs([])
    conv = build_conv(3)

    def segment(x: Tensor) -> Tensor:
        def again() -> Tensor:
            features = x.detach() * 2
            made.watch(features)
            return features

        features = x * 2
        note_way(features, again)
        convolved: Tensor = conv(rectify(features))
        return convolved

    pictures = draw_pictures()
    loss = run_segment(segment, pictures, recompute="norms").sum()
    for num_made in (1, 2):
        torch.autograd.grad(loss, [pictures, conv.weight], retain_graph=True)
        assert (made.num_read, made.num_kept) == (num_made, 0)


def test_they_are_made_in_the_autocast_in_which_they_were_rectified() -> None:
    enabled = []

    def segment(x: Tensor) -> Tensor:
        def again() -> Tensor:
            enabled.append((torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")))
            return x.detach() * 2

        features = x * 2
        note_way(features, again)
        return rectify(features)

    with torch.autocast("cpu", torch.float16):
        output = run_segment(segment, draw_pictures(), recompute="norms")
    torch.autograd.backward([output.sum()])
    assert enabled == [(True, torch.float16)]


def test_outside_of_a_segment_it_is_a_relu() -> None:
    x = torch.tensor([[-1.0, 2.0]])
    assert rectify(x) is x
    assert x.tolist() == [[0, 2]]
    assert rectify(x, plus=torch.tensor([[-1.0, 1.0]])).tolist() == [[0, 3]]
