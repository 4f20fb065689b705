"""One BatchNorm over pictures of different sizes, against two cases that a plain network can do."""

import threading

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.benchmarking.whole_batch import step_on_whole_batch
from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet


def noise(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def build_hrnet() -> HRNet:
    torch.manual_seed(0)
    return HRNet(HRNET_CONFIGS["small"]).double()


def build_network_of_pixels() -> nn.Sequential:
    """Sees every pixel by itself, so that pictures may be laid end to end as one."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(6, 4, 1, bias=False), nn.BatchNorm2d(4)).double()


def sum_of_cubes(features: Tensor | tuple[Tensor, ...]) -> Tensor:
    maps = (features,) if isinstance(features, Tensor) else features
    return torch.stack([x.pow(3).sum() for x in maps]).sum()


def assert_same_step(found: nn.Module, parts: list[Tensor], plain: nn.Module, whole: Tensor) -> None:
    result = step_on_whole_batch(found, parts, sum_of_cubes)
    loss = sum_of_cubes(plain(whole))
    assert result.loss == pytest.approx(loss.item(), rel=1e-12)
    parameters = dict(plain.named_parameters())
    assert list(result.gradients) == list(parameters)
    gradients = torch.autograd.grad(loss, tuple(parameters.values()))
    for name, gradient in zip(parameters, gradients, strict=True):
        scale = gradient.abs().max().item()
        torch.testing.assert_close(result.gradients[name], gradient, rtol=0, atol=1e-9 * scale, msg=name)


def test_pictures_of_one_size_give_what_a_plain_network_gives_for_their_batch() -> None:
    parts = [noise(1, 3, 64, 96, seed=1), noise(2, 3, 64, 96, seed=2)]
    assert_same_step(build_hrnet(), parts, build_hrnet(), torch.cat(parts))


def test_pictures_of_different_sizes_are_normalised_by_the_statistics_of_all_their_pixels() -> None:
    parts = [noise(1, 3, 5, 7, seed=1), 4 * noise(1, 3, 2, 3, seed=2) + 1, noise(1, 3, 6, 4, seed=3)]
    whole = torch.cat([part.flatten(2) for part in parts], dim=2)[..., None]
    assert_same_step(build_network_of_pixels(), parts, build_network_of_pixels(), whole)


def test_the_error_of_one_part_comes_out_instead_of_the_others_waiting_for_it() -> None:
    parts = [noise(1, 3, 64, 64, seed=1), noise(1, 3, 64, 65, seed=2)]
    before = threading.active_count()
    with pytest.raises(ValueError, match="multiples of 32, not 65x64"):
        step_on_whole_batch(build_hrnet(), parts, sum_of_cubes)
    assert threading.active_count() == before
