"""What a synchronised norm is in one process; tests/distributed/test_sync_norm.py has it over several."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.norm.batch_norm import record_batch
from hrdet_cli.engine.norm.fixed import FixedBatchNorm2d
from hrdet_cli.engine.norm.sync import SyncBackEnd, SyncBatchNorm2d, normalise_together

BACK_ENDS: tuple[SyncBackEnd, ...] = ("coalesced", "per-layer", "equal-count")


def seeded(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loaded(norm: nn.BatchNorm2d) -> Any:
    norm.load_state_dict({"weight": seeded((3,), 5), "bias": seeded((3,), 6)}, strict=False)
    return norm.double()


def outcome(norm: Any) -> list[Tensor]:
    x = seeded((2, 3, 6, 8), 0).requires_grad_()
    y = norm(x)
    y.square().sum().backward()
    return [y, x.grad, norm.weight.grad, norm.bias.grad, *norm.state_dict().values()]


@pytest.mark.parametrize("back_end", BACK_ENDS)
@pytest.mark.parametrize("is_training", [True, False])
def test_one_process_is_exactly_a_plain_batch_norm(is_training: bool, back_end: SyncBackEnd) -> None:
    ours = outcome(loaded(SyncBatchNorm2d(3, back_end=back_end)).train(is_training))
    theirs = outcome(loaded(nn.BatchNorm2d(3)).train(is_training))

    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("momentum", [0.1, 0.7, None])
def test_a_recorded_batch_moves_the_running_statistics_as_torch_does(momentum: float | None) -> None:
    norm = SyncBatchNorm2d(3, momentum=momentum, dtype=torch.float64)
    plain = nn.BatchNorm2d(3, momentum=momentum, dtype=torch.float64)
    for step in range(3):
        x = seeded((2, 3, 4, 5), step)
        plain(x)
        variance, mean = torch.var_mean(x, dim=(0, 2, 3))
        record_batch([norm], [mean], [variance])

    for name, buffer in plain.named_buffers():
        torch.testing.assert_close(norm.get_buffer(name), buffer, rtol=1e-12, atol=1e-12)


def test_a_norm_without_running_statistics_records_nothing() -> None:
    norm = SyncBatchNorm2d(3, track_running_stats=False)

    record_batch([norm], [torch.ones(3)], [torch.ones(3)])

    assert norm.state_dict().keys() == {"weight", "bias"}


def test_what_is_normalised_together_comes_back_in_order() -> None:
    norms = [SyncBatchNorm2d(3), nn.Identity(), nn.BatchNorm2d(4), nn.GroupNorm(1, 2)]
    inputs = [torch.randn(2, channels, 3, 3) for channels in (3, 1, 4, 2)]

    outputs = normalise_together(list(zip(norms, inputs, strict=True)))

    assert outputs[1] is inputs[1]
    for norm, x, y in zip(norms, inputs, outputs, strict=True):
        assert torch.equal(y, norm(x))


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(3), SyncBatchNorm2d(3), nn.GroupNorm(3, 3)])
def test_of_a_single_value_the_shift_is_left(norm: Any) -> None:
    """As where the levels of a small picture share a norm."""
    norm, oracle = loaded(norm), loaded(deepcopy(norm))
    level, value = seeded((1, 3, 4, 4), 0), seeded((1, 3, 1, 1), 1).requires_grad_()

    large, small = normalise_together([(norm, level), (norm, value)])
    torch.autograd.backward(large.sum() + small.sum())

    torch.testing.assert_close(large, oracle(level))
    torch.testing.assert_close(small.flatten(), norm.bias)
    assert value.grad is not None
    torch.testing.assert_close(value.grad, torch.zeros_like(value))
    if not isinstance(norm, nn.GroupNorm):
        record_batch([oracle], [value.detach().flatten()], [torch.zeros(3)])
        torch.testing.assert_close(norm.state_dict(), oracle.state_dict())


def test_of_no_maps_at_all_nothing_is_recorded() -> None:
    norm = nn.BatchNorm2d(3)
    (output,) = normalise_together([(norm, torch.zeros(0, 3, 2, 2))])
    assert output.shape == (0, 3, 2, 2)
    assert torch.equal(norm.get_buffer("running_mean"), torch.zeros(3))


class NormOfFound(nn.Module):
    """Normalises those of some maps whose first value is above zero: how many depends on the values."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, maps: Tensor) -> Tensor:
        return normalise_together([(self.norm, maps[maps[:, 0, 0, 0] > 0])])[0]


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(3), FixedBatchNorm2d(3), nn.GroupNorm(3, 3)])
def test_a_graph_normalises_any_number_of_maps(norm: Any) -> None:
    module, x = NormOfFound(loaded(norm)).eval(), seeded((5, 3, 2, 2), 3)
    graph = torch.export.export(module, (x,)).module()
    for maps in (x, x.abs(), -x.abs()):
        torch.testing.assert_close(graph(maps), module(maps))
