import pytest
import torch

from hrdet_cli.engine.norm import vectors
from hrdet_cli.engine.norm.vectors import spread
from tests.operator_counts import OperatorCounter


def test_numbers_are_spread_over_channels_and_on_a_gpu_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    like, wanted = torch.zeros(1), torch.tensor([3.0, 3.0, 0.5], dtype=torch.float64)
    assert torch.equal(spread([3, 0.5], [2, 1], like=like), wanted)
    monkeypatch.setattr(vectors, "_is_on_host", lambda _: False)
    assert torch.equal(spread([3, 0.5], [2, 1], like=like), wanted)
    with OperatorCounter() as operators:
        again = spread([3, 0.5], [2, 1], like=like)
    assert torch.equal(again, wanted)
    assert operators.num_operators == 0
    assert torch.equal(spread([torch.tensor(3), 0.5], [2, 1], like=like), wanted)
