import pytest
import torch
from torch import Tensor

from hrdet_cli.engine.models.boxes.random_keys import bits_from_keys
from hrdet_cli.engine.models.dense.anchors import AnchorGenerator, Anchors
from hrdet_cli.engine.structures import Size

MASK = 0xFFFFFFFF


def lowbias32(x: int) -> int:
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & MASK
    x = ((x ^ (x >> 15)) * 0x846CA68B) & MASK
    return x ^ (x >> 16)


def bits(key: int, stream: int, counter: int) -> int:
    first = lowbias32((key + stream * 0x9E3779B9) & MASK)
    second = lowbias32((key >> 32) & MASK ^ first)
    return lowbias32((lowbias32(counter ^ first) + second) & MASK)


KEYS = torch.tensor([0, 1, 2**63 - 1, 0x1234_5678_9ABC_DEF0, 1 << 32])
COUNTERS = torch.tensor([0, 1, 2, 2**16, 2**32 - 1])


def test_values_equal_the_same_hash_in_unbounded_integers() -> None:
    for stream in (0, 1, 2**31 - 1):
        values = bits_from_keys(KEYS, counters=COUNTERS, stream=stream)
        wanted = [[bits(int(key), stream, int(counter)) for counter in COUNTERS] for key in KEYS]
        assert values.tolist() == wanted


def test_values_do_not_depend_on_the_company_of_a_key_or_of_a_counter() -> None:
    together = bits_from_keys(KEYS, counters=torch.arange(1000), stream=3)
    alone = bits_from_keys(KEYS[2:3], counters=torch.tensor([7, 3]), stream=3)
    assert torch.equal(together[2:3, [7, 3]], alone)


def numbers_of_anchors() -> Tensor:
    """Those that are in use: with gaps between rows and between levels."""
    anchors: Anchors = AnchorGenerator(strides=(4, 8, 16, 32, 64))([Size(48 >> i, 64 >> i) for i in range(5)])
    return anchors.numbers


@pytest.mark.parametrize("counters", [torch.arange(10_000), numbers_of_anchors()])
def test_values_fill_their_interval_evenly(counters: Tensor) -> None:
    values = bits_from_keys(torch.arange(20), counters=counters, stream=0)
    assert values.min() >= 0
    assert values.max() < 2**32
    expected = values.numel() / 100
    for name, part in {"upper bits": values / 2**32, "lower bits": (values % 2**16) / 2**16}.items():
        counts = torch.histc(part.double(), bins=100, min=0, max=1)
        chi_squared = ((counts - expected) ** 2 / expected).sum()
        assert 60 < chi_squared < 150, name  # 99 degrees of freedom: 99 +- 14


@pytest.mark.parametrize("counters", [torch.arange(12_288), numbers_of_anchors()])
def test_neighbouring_keys_streams_and_counters_are_uncorrelated(counters: Tensor) -> None:
    first = bits_from_keys(torch.arange(50), counters=counters, stream=0).double()
    second = bits_from_keys(torch.arange(50), counters=counters, stream=1).double()
    pairs = {"streams": (first, second), "keys": (first[:-1], first[1:])}
    for distance in (1, 3, 3 * 64):  # the next shape, column and row of the finest level
        pairs[f"counters at {distance}"] = (first[:, :-distance], first[:, distance:])
    for name, (one, other) in pairs.items():
        correlation = torch.corrcoef(torch.stack((one.flatten(), other.flatten())))[0, 1].item()
        assert abs(correlation) < 0.006, name  # 6e5 pairs: standard deviation 0.0013


def test_the_upper_half_of_a_key_counts() -> None:
    values = bits_from_keys(
        torch.tensor([5, 5 + (1 << 32), 5 + (1 << 62)]), counters=torch.arange(4), stream=0
    )
    assert len({tuple(row) for row in values.tolist()}) == 3
