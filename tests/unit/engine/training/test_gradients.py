"""How gradients are divided into messages, and that one process sends none."""

import pytest
import torch
from torch import Tensor, nn

from hrdet_cli.engine.training.gradients import GradientAverager, divide_into_buckets


def parameters(*sizes: int, dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    return [nn.Parameter(torch.zeros(size, dtype=dtype)) for size in sizes]


@pytest.mark.parametrize(
    ("bucket_bytes", "expected"),
    [
        (4, [[5], [4], [3], [2], [1]]),
        (16, [[5], [4], [3, 2], [1]]),  # the third has 12 bytes, and 20 with the next one
        (24, [[5, 4], [3, 2, 1]]),
        (float("inf"), [[5, 4, 3, 2, 1]]),
    ],
)
def test_buckets_are_filled_from_the_last_parameter_on(
    bucket_bytes: float, expected: list[list[int]]
) -> None:
    buckets = divide_into_buckets(parameters(1, 2, 3, 4, 5), bucket_bytes=bucket_bytes)
    assert [[parameter.numel() for parameter in bucket] for bucket in buckets] == expected


def test_a_bucket_has_one_dtype() -> None:
    mixed = parameters(1) + parameters(2, 3, dtype=torch.float64) + parameters(4)
    buckets = divide_into_buckets(mixed, bucket_bytes=1000)
    assert [[parameter.numel() for parameter in bucket] for bucket in buckets] == [[4], [3, 2], [1]]


def test_nothing_trains_in_no_bucket() -> None:
    assert divide_into_buckets([], bucket_bytes=1) == []


def test_one_process_keeps_its_gradients() -> None:
    layer = nn.Linear(2, 2)
    averager = GradientAverager([*layer.parameters()])
    with averager.averaged():
        torch.autograd.backward(layer(torch.ones(1, 2)).sum())
    expected: list[Tensor] = [torch.ones(2, 2), torch.ones(2)]
    assert all(
        torch.equal(parameter.grad, value)
        for parameter, value in zip(layer.parameters(), expected, strict=True)
        if parameter.grad is not None
    )
    assert layer.weight.grad is not None
