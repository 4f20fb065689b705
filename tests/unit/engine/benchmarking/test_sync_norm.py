import math

import pytest
import torch

from hrdet_cli.engine.benchmarking.sync_norm import compare_results
from hrdet_cli.engine.benchmarking.whole_batch import StepResult

EXACT = StepResult(2.0, {"a.weight": torch.tensor([3.0, 0.0]), "b.weight": torch.tensor([4.0])})


def test_an_exact_result_has_no_error_and_cosines_of_one() -> None:
    deviation = compare_results(EXACT, EXACT, layers=["b", "a"])
    assert (deviation.loss, deviation.gradient) == (0, 0)
    assert list(deviation.cosine_by_layer.items()) == [("b", 1), ("a", 1)]


def test_errors_are_relative_to_the_whole_loss_and_gradient() -> None:
    found = StepResult(1.5, {"a.weight": torch.tensor([3.0, 3.0]), "b.weight": torch.tensor([0.0])})
    deviation = compare_results(found, EXACT, layers=["a"])
    assert deviation.loss == 0.25
    assert deviation.gradient == 1  # off by (0, 3, -4), which is 5 long, and so is (3, 0, 4)
    assert deviation.cosine_by_layer["a"] == pytest.approx(math.sqrt(0.5))


def test_the_lowest_cosine_is_that_of_the_worst_layer() -> None:
    found = StepResult(2.0, {"a.weight": torch.tensor([3.0, 0.0]), "b.weight": torch.tensor([-1.0])})
    assert compare_results(found, EXACT, layers=["a", "b"]).lowest_cosine == -1
