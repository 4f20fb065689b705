import torch

from hrdet_cli.engine.models.random_keys import uniform_from_keys

MASK = 0xFFFFFFFF


def lowbias32(x: int) -> int:
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & MASK
    return x ^ (x >> 16)


def uniform(key: int, stream: int, counter: int) -> float:
    first = lowbias32((key + stream * 0x9E3779B9) & MASK)
    second = lowbias32((key >> 32) & MASK ^ first)
    return (lowbias32((lowbias32(counter ^ first) + second) & MASK) >> 8) / 2**24


KEYS = torch.tensor([0, 1, 2**63 - 1, 0x1234_5678_9ABC_DEF0, 1 << 32])


def test_values_equal_the_same_hash_in_unbounded_integers() -> None:
    for stream in (0, 1, 2**31 - 1):
        values = uniform_from_keys(KEYS, count=5, stream=stream)
        wanted = [[uniform(int(key), stream, counter) for counter in range(5)] for key in KEYS]
        assert values.dtype == torch.float32
        assert values.tolist() == wanted


def test_values_do_not_depend_on_the_company_of_a_key_or_on_how_many_are_asked_for() -> None:
    together = uniform_from_keys(KEYS, count=1000, stream=3)
    alone = uniform_from_keys(KEYS[2:3], count=10, stream=3)
    assert torch.equal(together[2:3, :10], alone)


def test_values_fill_the_unit_interval_evenly_and_never_reach_one() -> None:
    values = uniform_from_keys(torch.arange(20), count=10_000, stream=0)
    assert values.min() >= 0
    assert values.max() < 1
    counts = torch.histc(values, bins=100, min=0, max=1)
    chi_squared = ((counts - 2000) ** 2 / 2000).sum()
    assert 60 < chi_squared < 150  # 99 degrees of freedom: 99 +- 14


def test_neighbouring_keys_streams_and_counters_are_uncorrelated() -> None:
    first = uniform_from_keys(torch.arange(50), count=2000, stream=0)
    second = uniform_from_keys(torch.arange(50), count=2000, stream=1)
    pairs = {
        "streams": (first.flatten(), second.flatten()),
        "keys": (first[:-1].flatten(), first[1:].flatten()),
        "counters": (first[:, :-1].flatten(), first[:, 1:].flatten()),
    }
    for name, pair in pairs.items():
        correlation = torch.corrcoef(torch.stack(pair))[0, 1].item()
        assert abs(correlation) < 0.015, name  # 1e5 pairs: standard deviation 0.003


def test_the_upper_half_of_a_key_counts() -> None:
    values = uniform_from_keys(torch.tensor([5, 5 + (1 << 32), 5 + (1 << 62)]), count=4, stream=0)
    assert len({tuple(row) for row in values.tolist()}) == 3
