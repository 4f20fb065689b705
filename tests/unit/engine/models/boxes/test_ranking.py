import pytest
import torch

from hrdet_cli.engine.models.boxes.ranking import best_columns, best_pairs


def test_of_equal_scores_the_first_columns_are_the_best() -> None:
    scores, columns = best_columns(torch.tensor([[1.0, 3.0, 2.0, 3.0, 2.0]]), 3)
    assert scores.tolist() == [[3, 3, 2]]
    assert columns.tolist() == [[1, 3, 2]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_best_columns_are_the_first_of_a_stable_sort(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 500, generator=generator, dtype=dtype)
    scores[0] = scores[0].round()  # minus zero among them, which equals zero
    scores[1, ::3] = -torch.inf
    scores[2, 5:9] = torch.tensor([torch.inf, 1e-44, -1e-44, 3e38])
    for count in (0, 1, 250, 500):
        best, columns = best_columns(scores, count)
        wanted = scores.sort(dim=1, descending=True, stable=True)
        assert torch.equal(columns, wanted.indices[:, :count])
        assert torch.equal(best, wanted.values[:, :count])


@pytest.mark.parametrize("count", [1, 7, 60, 200])
def test_the_best_pairs_are_those_of_all_pairs_in_order(count: int) -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 40, 5, generator=generator)
    is_candidate = torch.rand(3, 40, generator=generator) < 0.6
    places, is_best = best_pairs(scores, is_candidate, count)
    assert places.shape == (3, min(count, 40))
    for picture in range(3):
        pairs = [
            (scores[picture, place, label].item(), place, label)
            for place in range(40)
            for label in range(5)
            if is_candidate[picture, place]
        ]
        wanted = {(place, label) for _, place, label in sorted(pairs, reverse=True)[:count]}
        rows, labels = is_best[picture].nonzero(as_tuple=True)
        found = set(zip(places[picture, rows].tolist(), labels.tolist(), strict=True))
        assert found == wanted
        assert len(rows) == len(wanted)


def test_pairs_that_equal_the_last_one_are_all_among_the_best() -> None:
    scores = torch.tensor([[[5.0, 1.0], [3.0, 3.0], [4.0, 2.0], [3.0, 0.0]]])
    places, is_best = best_pairs(scores, torch.ones(1, 4, dtype=torch.bool), 3)
    assert places.tolist() == [[0, 2, 1]]
    assert is_best.tolist() == [[[True, False], [True, False], [True, True]]]
