import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes import sampling
from hrdet_cli.engine.models.boxes.matching import Matches
from hrdet_cli.engine.models.boxes.sampling import HardSampler, Sample, Sampler

KEYS = torch.tensor([11, 2**62 + 1, 7])
NUMBERS = torch.arange(100)


def matches_with(num_positive: list[int], num_negative: list[int], *, num_candidates: int = 100) -> Matches:
    """The first candidates are positive, the next ones neither, the last ones negative."""
    row = torch.arange(num_candidates)
    return Matches(
        target_index=torch.zeros(len(num_positive), num_candidates, dtype=torch.int64),
        is_positive=row < torch.tensor(num_positive)[:, None],
        is_negative=row >= num_candidates - torch.tensor(num_negative)[:, None],
    )


def drawn(sample: Sample, picture: int, which: Tensor) -> set[int]:
    return set(sample.index[picture][which[picture]].tolist())


@pytest.mark.parametrize(
    ("num_positive", "num_negative", "wanted_positive", "wanted_negative"),
    [
        (30, 60, 4, 12),  # plenty of both: 16 * 0.25 positives
        (2, 60, 2, 14),  # negatives make up for missing positives
        (30, 5, 4, 5),  # positives do not make up for missing negatives
        (0, 60, 0, 16),
        (0, 0, 0, 0),
        (3, 1, 3, 1),
    ],
)
def test_counts_are_exact(
    num_positive: int, num_negative: int, wanted_positive: int, wanted_negative: int
) -> None:
    matches = matches_with([num_positive], [num_negative])
    sample = Sampler(num_samples=16, positive_fraction=0.25, stream=0).draw(matches, KEYS[:1], NUMBERS)
    is_negative = sample.is_valid & ~sample.is_positive
    assert sample.index.shape == (1, 16)
    assert sample.is_positive.sum() == wanted_positive
    assert is_negative.sum() == wanted_negative
    positives, negatives = drawn(sample, 0, sample.is_positive), drawn(sample, 0, is_negative)
    assert len(positives) == wanted_positive
    assert len(negatives) == wanted_negative
    assert positives <= set(range(num_positive))
    assert negatives <= set(range(100 - num_negative, 100))


def test_a_small_canvas_has_fewer_slots() -> None:
    sample = Sampler(num_samples=256, positive_fraction=0.5, stream=0).draw(
        matches_with([3], [90]), KEYS[:1], NUMBERS
    )
    assert sample.index.shape == (1, 100)
    assert sample.is_valid.sum() == 93


def test_a_draw_depends_on_the_key_and_not_on_the_batch() -> None:
    sampler = Sampler(num_samples=16, positive_fraction=0.25, stream=0)
    matches = matches_with([30, 30, 30], [60, 60, 60])
    together = sampler.draw(matches, KEYS, NUMBERS)
    swapped = sampler.draw(matches, KEYS.flip(0), NUMBERS)
    alone = sampler.draw(matches_with([30], [60]), KEYS[1:2], NUMBERS)
    assert torch.equal(together.index, swapped.index.flip(0))
    assert torch.equal(together.index[1:2], alone.index)
    assert drawn(together, 0, together.is_valid) != drawn(together, 1, together.is_valid)


def test_streams_draw_differently() -> None:
    matches = matches_with([30], [60])
    first, second = (
        Sampler(num_samples=16, positive_fraction=0.25, stream=stream).draw(matches, KEYS[:1], NUMBERS)
        for stream in (0, 1)
    )
    assert drawn(first, 0, first.is_valid) != drawn(second, 0, second.is_valid)


def test_every_candidate_is_drawn_equally_often() -> None:
    num_draws = 4000
    matches = matches_with([30] * num_draws, [60] * num_draws)
    sampler = Sampler(num_samples=16, positive_fraction=0.25, stream=5)
    sample = sampler.draw(matches, torch.arange(num_draws), NUMBERS)
    counts = sample.index.flatten().bincount(minlength=100).float()
    # Binomial: 4000 * 4 / 30 = 533 +- 22 for a positive, 4000 * 12 / 60 = 800 +- 25 for a negative.
    assert (counts[:30] - 533).abs().max() < 100
    assert (counts[40:] - 800).abs().max() < 115
    assert counts[30:40].sum() == 0


def test_picking_takes_the_drawn_rows() -> None:
    matches = matches_with([5, 0, 1], [60, 90, 1])
    sample = Sampler(num_samples=8, positive_fraction=0.5, stream=0).draw(matches, KEYS, NUMBERS)
    values = torch.arange(300).view(3, 100)
    assert torch.equal(sample.pick(values), sample.index + torch.tensor([[0], [100], [200]]))


def test_a_draw_does_not_depend_on_a_candidates_place_among_others() -> None:
    """On a larger canvas the same candidates come in other places, with the padding's between them."""
    sampler = Sampler(num_samples=16, positive_fraction=0.25, stream=0)
    matches = matches_with([30], [60])
    places = (torch.arange(100) * 37 + 11) % 150
    numbers = torch.arange(150) + 1000
    numbers[places] = NUMBERS
    spread = [torch.zeros(1, 150, dtype=rows.dtype) for rows in (matches.target_index, matches.is_positive)]
    is_positive, is_negative = spread[1], spread[1].clone()
    is_positive[:, places], is_negative[:, places] = matches.is_positive, matches.is_negative

    here = sampler.draw(matches, KEYS[:1], NUMBERS)
    there = sampler.draw(Matches(spread[0], is_positive, is_negative), KEYS[:1], numbers)

    assert torch.equal(numbers[there.index], here.index)
    assert torch.equal(there.is_positive, here.is_positive)


def test_candidates_whose_random_bits_are_equal_are_told_apart_by_their_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampling, "bits_from_keys", lambda *_, **__: torch.zeros(1, 100, dtype=torch.int64))
    sampler = Sampler(num_samples=16, positive_fraction=0.25, stream=0)
    backwards = sampler.draw(matches_with([30], [60]), KEYS[:1], NUMBERS.flip(0))
    assert backwards.index.tolist() == [[0, 1, 2, 3, *range(40, 52)]]


@pytest.mark.parametrize(
    ("num_positive", "num_negative", "wanted_positive", "wanted_negative"),
    [(30, 60, 4, 12), (2, 60, 2, 14), (30, 5, 4, 5), (0, 60, 0, 16), (0, 0, 0, 0)],
)
def test_the_hardest_of_each_kind_are_taken(
    num_positive: int, num_negative: int, wanted_positive: int, wanted_negative: int
) -> None:
    losses = torch.rand(1, 100, generator=torch.Generator().manual_seed(5)) * 8
    matches = matches_with([num_positive], [num_negative])
    sample = HardSampler(num_samples=16, positive_fraction=0.25).take(matches, losses, NUMBERS)
    wanted = [
        losses[0, rows].sort(descending=True).values[:count].tolist()
        for rows, count in (
            (slice(0, num_positive), wanted_positive),
            (slice(100 - num_negative, 100), wanted_negative),
        )
    ]
    is_negative = sample.is_valid & ~sample.is_positive
    assert sample.index.shape == (1, 16)
    assert losses[0, sample.index[0, sample.is_positive[0]]].tolist() == wanted[0]
    assert losses[0, sample.index[0, is_negative[0]]].tolist() == wanted[1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_losses_of_any_size_are_told_apart_and_equal_ones_by_their_numbers(dtype: torch.dtype) -> None:
    losses = torch.tensor([[-0.0, 1e-40, 3e-8, 2.0, 2.0, 1e30, torch.inf, 0.0]], dtype=dtype)
    numbers = torch.tensor([0, 1, 2, 9, 8, 5, 6, 7])
    everything = matches_with([0], [8], num_candidates=8)
    sample = HardSampler(num_samples=8, positive_fraction=0).take(everything, losses, numbers)
    assert sample.index[0].tolist() == [6, 5, 3, 4, 2, 1, 7, 0]
