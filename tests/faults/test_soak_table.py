import pytest

from tests.faults.soak import Sample, growths, summarise

FLAT = {"memory": 100 * 2**20, "descriptors": 12, "threads": 4, "shared memory": 2**20}


def samples_of(role: str, *, leak: str | None = None, by: int = 0) -> list[Sample]:
    """A sample at each of 100 steps, in which every tenth has more of everything for a moment."""
    samples = []
    for step in range(1, 101):
        figures = {name: value + (step % 10 == 0) * 2**22 for name, value in FLAT.items()}
        if leak is not None:
            figures[leak] += step * by
        samples.append(Sample(1, role, step, figures))
    return samples


def test_what_comes_and_goes_is_flat() -> None:
    samples = [s for role in ("launcher", "rank 0", "rank 1") for s in samples_of(role)]
    assert growths(summarise(samples, 100)) == []


@pytest.mark.parametrize(
    ("leak", "by", "told"),
    [
        ("memory", 2**18, "rank 1: memory grew from 103.8 MiB to 121.2 MiB"),
        ("descriptors", 1, "rank 1: descriptors grew from 27 to 97"),
        ("threads", 1, "rank 1: threads grew from 19 to 89"),
        ("shared memory", 2**12, "rank 1: shared memory grew from 1.1 MiB to 1.3 MiB"),
    ],
)
def test_what_leaks_at_every_step_is_named(leak: str, by: int, told: str) -> None:
    samples = samples_of("launcher") + samples_of("rank 0") + samples_of("rank 1", leak=leak, by=by)
    assert growths(summarise(samples, 100)) == [told]


def test_a_process_that_was_not_seen_is_no_flat_one() -> None:
    with pytest.raises(ValueError, match=r"nothing was seen of \['rank 1'\]"):
        growths(summarise(samples_of("launcher") + samples_of("rank 0"), 100))
