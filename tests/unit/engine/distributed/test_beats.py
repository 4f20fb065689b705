from collections import Counter

import pytest
from torch.distributed import HashStore

from hrdet_cli.engine.distributed.activity import ACTIVITY
from hrdet_cli.engine.distributed.beats import NUM_LISTED, BeatBook
from hrdet_cli.engine.distributed.failure import FailureBoard


class CountingStore(HashStore):
    """Counts what it is asked, and the bytes it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: Counter[str] = Counter()
        self.num_bytes = 0

    def set(self, key: str, value: str) -> None:
        self.requests["set"] += 1
        super().set(key, value)

    def check(self, keys: list[str]) -> bool:
        self.requests["check"] += 1
        return super().check(keys)

    def get(self, key: str) -> bytes:
        self.requests["get"] += 1
        value = super().get(key)
        self.num_bytes += len(value)
        return value

    def multi_get(self, keys: list[str]) -> list[bytes]:
        self.requests["multi_get"] += 1
        return super().multi_get(keys)


def one_second_of(size: int) -> CountingStore:
    """What all processes of a group ask their store in a second, once they have begun."""
    store = CountingStore()
    books = [BeatBook(store, rank=rank, size=size, store_rank=0) for rank in range(size)]
    boards = [FailureBoard(store, rank=rank, size=size) for rank in range(size)]
    for second in range(2):
        if second == 1:
            store.requests.clear()
            store.num_bytes = 0
        for book, board in zip(books, boards, strict=True):
            book.open()
            book.write()
            assert book.read() is not None
            assert board.read() is None
    # `open`, which is done once, asks the holder's store once for each process.
    store.requests["check"] -= size
    return store


@pytest.mark.parametrize("size", [2, 32, 256])
def test_requests_grow_with_the_number_of_processes_and_no_faster(size: int) -> None:
    requests = one_second_of(size).requests
    # Each writes a beat, reads the overview and looks for a failure; one sums up.
    assert requests == {"set": size + 1, "get": size, "check": size, "multi_get": 1}


def test_an_overview_is_no_longer_for_many_processes_than_for_a_few() -> None:
    assert one_second_of(256).num_bytes / 256 < 1.1 * one_second_of(2 * NUM_LISTED).num_bytes / (
        2 * NUM_LISTED
    )


def test_an_overview_lists_those_who_are_last_and_the_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    store = HashStore()
    books = [BeatBook(store, rank=rank, size=20, store_rank=3) for rank in range(20)]
    books[3].open()
    for rank, book in enumerate(books):
        monkeypatch.setattr(ACTIVITY, "num_collectives", 100 - rank)
        monkeypatch.setattr(ACTIVITY, "phase", f"step {rank}")
        if rank not in (3, 19):
            book.write()
    monkeypatch.setattr(ACTIVITY, "num_collectives", 97)
    books[3].write()
    overview = books[0].read()
    assert overview is not None
    assert [beat.rank for beat in overview.last] == [19, 18, 17, 16, 15, 14, 13, 12]
    assert (overview.last[0].num_collectives, overview.last[0].phase) == (0, "start")
    assert (overview.last[1].num_collectives, overview.last[1].phase) == (82, "step 18")
    assert overview.silent == ()
    assert overview.holder.rank == 3


def test_there_is_no_overview_before_the_holder_has_written_one() -> None:
    assert BeatBook(HashStore(), rank=1, size=2, store_rank=0).read() is None
