import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.norm.sync import normalise
from hrdet_cli.engine.norm.valid_area import ValidArea, ValidRegions
from hrdet_cli.engine.structures import Size

SIZES = [[64, 40], [20, 96]]
AREA = ValidArea.on_canvas(Size(64, 96), torch.tensor(SIZES))


def a_map(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def loaded(norm: nn.GroupNorm) -> nn.GroupNorm:
    for index, parameter in enumerate(norm.parameters()):
        parameter.data.copy_(a_map(50 + index, *parameter.shape))
    return norm.double()


@pytest.mark.parametrize("affine", [True, False])
def test_each_picture_is_normalised_as_it_would_be_alone(affine: bool) -> None:
    norm, oracle = (loaded(nn.GroupNorm(2, 6, affine=affine)) for _ in range(2))
    x, slope = a_map(0, 2, 6, 8, 12).requires_grad_(), a_map(1, 2, 6, 8, 12)

    y = normalise(norm, x, AREA)
    torch.autograd.backward(y, slope)

    assert x.grad is not None
    found, of_x = torch.zeros_like(y), torch.zeros_like(y)
    for picture, (rows, columns) in enumerate([(8, 8), (4, 12)]):  # areas of 64x64 and 32x96 at stride 8
        corner = (picture, slice(None), slice(rows), slice(columns))
        alone = x.detach()[corner][None].requires_grad_()
        expected = oracle(alone)
        torch.autograd.backward(expected, slope[corner][None])
        found[corner] = expected[0].detach()
        assert alone.grad is not None
        of_x[corner] = alone.grad[0]
    torch.testing.assert_close(y, found, rtol=0, atol=1e-12)
    torch.testing.assert_close(x.grad, of_x, rtol=0, atol=1e-12)
    for parameter, other in zip(norm.parameters(), oracle.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=0, atol=1e-12)


def test_of_a_region_that_is_not_there_nothing_is_left() -> None:
    norm = loaded(nn.GroupNorm(2, 6))
    x = a_map(0, 3, 6, 2, 2).requires_grad_()

    y = normalise(norm, x, ValidRegions(torch.tensor([True, False, True])))
    torch.autograd.backward(y.sum())

    torch.testing.assert_close(y[[0, 2]], norm(x)[[0, 2]])
    assert (y[1] == 0).all()
    assert x.grad is not None
    assert (x.grad[1] == 0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_the_dtype_stays(dtype: torch.dtype) -> None:
    norm = nn.GroupNorm(2, 6)
    x = a_map(0, 2, 6, 8, 12).to(dtype)
    y = normalise(norm, x, AREA)
    assert y.dtype == dtype
    torch.testing.assert_close(y, normalise(norm.double(), x.double(), AREA).to(dtype))
