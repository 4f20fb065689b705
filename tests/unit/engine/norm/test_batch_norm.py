"""Norms with an area, in one process, against torch's batch norm of the pictures' pixels laid end to end."""

import copy
import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.norm.fixed import FixedBatchNorm2d
from hrdet_cli.engine.norm.recompute import Recomputation, run_segment
from hrdet_cli.engine.norm.sync import SyncBatchNorm2d, normalise, normalise_together
from hrdet_cli.engine.norm.valid_area import ValidArea, ValidRegions
from hrdet_cli.engine.structures import Size

AREA = ValidArea.on_canvas(Size(64, 96), torch.tensor([[64, 40], [20, 96]]))
SHAPES = ((2, 3, 8, 12), (2, 5, 4, 6))
"""Maps at strides 8 and 16."""


def seeded(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gradient_of(tensor: Tensor) -> Tensor:
    if tensor.grad is None:
        raise AssertionError("no gradient reached this tensor")
    return tensor.grad


def loaded(norm: Any) -> Any:
    """With scale and shift that show, where it has them."""
    for index, parameter in enumerate(norm.parameters()):
        parameter.data.copy_(seeded(*parameter.shape, seed=50 + index))
    return norm.double()


def is_valid_at(shape: tuple[int, ...]) -> Tensor:
    return AREA.cells_of(torch.empty(shape)).is_valid


def pixels_of(maps: Tensor) -> Tensor:
    """``(1, C, P, 1)``."""
    return maps.transpose(0, 1)[:, is_valid_at(tuple(maps.shape))[:, 0]][None, ..., None]


def assert_near(found: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    scale = max(1.0, expected.abs().max().item())
    torch.testing.assert_close(found.detach(), expected.detach(), rtol=0, atol=tolerance * scale)


def settings_of(name: str) -> dict[str, Any]:
    settings: dict[str, dict[str, Any]] = {
        "default": {},
        "not affine": {"affine": False},
        "cumulative": {"momentum": None},
        "no running statistics": {"track_running_stats": False},
    }
    return settings[name]


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, SyncBatchNorm2d])
@pytest.mark.parametrize("name", ["default", "not affine", "cumulative", "no running statistics"])
def test_norms_that_are_due_together_are_those_of_the_pictures_pixels(
    kind: type[nn.BatchNorm2d], name: str
) -> None:
    norms = [loaded(kind(shape[1], **settings_of(name))) for shape in SHAPES]
    oracles = [loaded(nn.BatchNorm2d(shape[1], **settings_of(name))) for shape in SHAPES]
    for step in range(2):
        inputs = [(seeded(*s, seed=10 * step + i) + i).requires_grad_() for i, s in enumerate(SHAPES)]
        slopes = [seeded(*s, seed=20 + 10 * step + i) for i, s in enumerate(SHAPES)]
        outputs = normalise_together(list(zip(norms, inputs, strict=True)), AREA)
        torch.autograd.backward(outputs, slopes)
        for norm, oracle, x, y, slope in zip(norms, oracles, inputs, outputs, slopes, strict=True):
            pixels = pixels_of(x.detach()).requires_grad_()
            expected = oracle(pixels)
            expected.backward(pixels_of(slope))
            padding = ~is_valid_at(tuple(x.shape))
            assert (y.masked_select(padding) == 0).all()
            assert (gradient_of(x).masked_select(padding) == 0).all()
            assert_near(pixels_of(y), expected)
            assert_near(pixels_of(gradient_of(x)), gradient_of(pixels))
            for key, value in oracle.state_dict().items():
                assert_near(norm.state_dict()[key].double(), value.double())
            for parameter, other in zip(norm.parameters(), oracle.parameters(), strict=True):
                assert_near(gradient_of(parameter), gradient_of(other))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 3e-2)])
def test_maps_keep_dtype_and_layout_and_what_the_padding_holds_has_no_effect(
    dtype: torch.dtype, tolerance: float, layout: torch.memory_format
) -> None:
    padding = ~is_valid_at(SHAPES[0])
    x, slope = (seeded(*SHAPES[0], seed=seed).masked_fill(padding, 1e6) for seed in range(2))
    found = x.to(dtype, memory_format=layout).requires_grad_()
    exact = pixels_of(found.detach().double()).requires_grad_()

    y = normalise(loaded(nn.BatchNorm2d(3)).float(), found, AREA)
    torch.autograd.backward(y, slope.to(dtype))
    expected = loaded(nn.BatchNorm2d(3))(exact)
    torch.autograd.backward(expected, pixels_of(slope.to(dtype).double()))

    for map_, pixels in ((y, expected), (gradient_of(found), gradient_of(exact))):
        assert map_.dtype == dtype
        assert map_.is_contiguous(memory_format=layout)
        assert not map_.masked_select(padding).any()
        assert_near(pixels_of(map_.double()), pixels, tolerance)


@pytest.mark.parametrize(
    "norm",
    [
        nn.BatchNorm2d(3).eval(),
        SyncBatchNorm2d(3).eval(),
        SyncBatchNorm2d(3, back_end="per-layer").eval(),
        FixedBatchNorm2d(3),
        FixedBatchNorm2d(3).eval(),
    ],
)
def test_a_norm_with_statistics_of_its_own_normalises_as_ever_and_clears_the_padding(norm: Any) -> None:
    norm = loaded(norm)
    norm.running_mean.copy_(seeded(3, seed=1))
    before = copy.deepcopy(norm.state_dict())
    x = seeded(*SHAPES[0], seed=0)
    assert torch.equal(normalise(norm, x, AREA), norm(x) * is_valid_at(SHAPES[0]))
    assert all(torch.equal(value, before[key]) for key, value in norm.state_dict().items())


@pytest.mark.parametrize("back_end", ["coalesced", "per-layer", "equal-count"])
def test_in_one_process_all_back_ends_of_ours_are_the_same(back_end: Any) -> None:
    x = seeded(*SHAPES[0], seed=0)
    found = normalise(loaded(SyncBatchNorm2d(3, back_end=back_end)), x, AREA)
    assert torch.equal(found, normalise(loaded(nn.BatchNorm2d(3)), x, AREA))


def test_an_area_that_fills_the_canvas_changes_nothing() -> None:
    area = ValidArea.on_canvas(Size(64, 96), torch.tensor([[64, 96], [33, 65]]))
    x = seeded(*SHAPES[0], seed=0)
    assert_near(normalise(loaded(nn.BatchNorm2d(3)), x, area), loaded(nn.BatchNorm2d(3))(x))


def test_a_norm_is_called_as_usual_if_there_is_no_area() -> None:
    norm, twin = loaded(nn.BatchNorm2d(3)), loaded(nn.BatchNorm2d(3))
    x = seeded(*SHAPES[0], seed=0)
    assert torch.equal(normalise(norm, x, None), twin(x))


@pytest.mark.parametrize("norm", [nn.InstanceNorm2d(3), nn.InstanceNorm2d(3).eval(), nn.SyncBatchNorm(3)])
def test_a_norm_that_cannot_leave_the_padding_out_is_refused(norm: nn.Module) -> None:
    message = f"{type(norm).__name__} cannot leave the padding out of its statistics"
    with pytest.raises(ValueError, match=re.escape(message)):
        normalise(norm, seeded(*SHAPES[0], seed=0).float(), AREA)


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, SyncBatchNorm2d])
def test_regions_that_are_not_there_do_not_count(kind: type[nn.BatchNorm2d]) -> None:
    is_valid = torch.tensor([True, False, True, True, False])
    norm, oracle = loaded(kind(3)), loaded(nn.BatchNorm2d(3))
    x, slope = seeded(5, 3, 2, 4, seed=0).requires_grad_(), seeded(5, 3, 2, 4, seed=1)
    there = x.detach()[is_valid].requires_grad_()

    y = normalise(norm, x, ValidRegions(is_valid))
    torch.autograd.backward(y, slope)
    expected = oracle(there)
    torch.autograd.backward(expected, slope[is_valid])

    assert_near(y[is_valid], expected)
    assert_near(gradient_of(x)[is_valid], gradient_of(there))
    assert not y[~is_valid].any()
    assert not gradient_of(x)[~is_valid].any()
    assert_near(gradient_of(norm.weight), gradient_of(oracle.weight))
    for key, value in oracle.state_dict().items():
        assert_near(norm.state_dict()[key].double(), value.double())


@pytest.mark.parametrize("kind", [nn.BatchNorm2d, SyncBatchNorm2d])
def test_where_no_region_is_there_nothing_comes_out_and_nothing_is_recorded(
    kind: type[nn.BatchNorm2d],
) -> None:
    norm = loaded(kind(3))
    norm.running_mean.copy_(seeded(3, seed=1))
    before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
    x = seeded(2, 3, 2, 4, seed=0).requires_grad_()

    y = normalise(norm, x, ValidRegions(torch.tensor([False, False])))
    torch.autograd.backward(y.sum())

    for tensor in (y, gradient_of(x), gradient_of(norm.weight), gradient_of(norm.bias)):
        assert (tensor == 0).all()
    assert torch.equal(norm.running_mean, before["running_mean"])
    assert torch.equal(norm.running_var, before["running_var"])


class Segment(nn.Module):
    """What is run a second time in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = loaded(nn.BatchNorm2d(3))
        self.conv = nn.Conv2d(3, 3, 3, padding=1).double()

    def forward(self, x: Tensor, area: ValidArea | None) -> Tensor:
        return normalise(self.norm, self.conv(x), area)


def test_recomputing_changes_no_bit_and_counts_a_batch_once() -> None:
    kept = Segment()
    recomputed = copy.deepcopy(kept)
    ways: tuple[tuple[Segment, Recomputation], ...] = ((kept, "off"), (recomputed, "modules"))
    for segment, recompute in ways:
        y = run_segment(segment, seeded(*SHAPES[0], seed=0).requires_grad_(), AREA, recompute=recompute)
        y.square().sum().backward()
    assert recomputed.norm.num_batches_tracked == 1
    for (name, one), other in zip(kept.state_dict().items(), recomputed.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    for parameter, other in zip(kept.parameters(), recomputed.parameters(), strict=True):
        assert torch.equal(gradient_of(parameter), gradient_of(other))


@pytest.mark.slow
def test_compiling_changes_nothing_but_rounding() -> None:
    plain = Segment()
    twin = copy.deepcopy(plain)
    x = seeded(*SHAPES[0], seed=0)
    for network in (plain, torch.compile(twin, backend="aot_eager", fullgraph=True)):
        network(x, AREA).square().sum().backward()
    for name, value in plain.state_dict().items():
        assert_near(twin.state_dict()[name].double(), value.double())
    for parameter, other in zip(plain.parameters(), twin.parameters(), strict=True):
        assert_near(gradient_of(other), gradient_of(parameter), 1e-10)
