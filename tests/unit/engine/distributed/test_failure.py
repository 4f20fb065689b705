import threading
import time

import pytest
from torch.distributed import HashStore

from hrdet_cli.engine.distributed.failure import Failure, FailureBoard, PeerError, failure_of
from hrdet_cli.errors import DataError, LostProcessError, MemoryRanOutError, OutOfMemoryError

BROKEN_PICTURE = Failure(rank=1, host="b", exit_code=3, message="x.jpg: is damaged", is_final=True)
LATER = Failure(rank=0, host="a", exit_code=8, message="lost somebody", is_final=False)


def test_the_first_failure_stays_on_the_board() -> None:
    store = HashStore()
    first, second = (FailureBoard(store, rank=rank, size=2) for rank in range(2))
    assert first.read() is None
    second.publish(BROKEN_PICTURE)
    first.publish(LATER)
    assert first.read() == second.read() == BROKEN_PICTURE


def test_waiting_for_a_failure_ends_when_it_comes_or_when_time_is_over() -> None:
    board = FailureBoard(HashStore(), rank=0, size=2)
    assert board.wait(seconds=0.05) is None
    threading.Timer(0.2, board.publish, [BROKEN_PICTURE]).start()
    assert board.wait(seconds=10) == BROKEN_PICTURE


def test_the_stores_host_waits_until_all_others_have_read() -> None:
    store = HashStore()
    host, other = (FailureBoard(store, rank=rank, size=2) for rank in range(2))
    host.publish(BROKEN_PICTURE)
    threading.Timer(0.3, other.read).start()
    started = time.monotonic()
    host.wait_for_readers(seconds=10)
    assert 0.2 < time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (DataError("x.jpg: is damaged"), BROKEN_PICTURE),
        (LostProcessError("gone"), Failure(1, "b", 8, "gone", is_final=False)),
        (OutOfMemoryError("too large"), Failure(1, "b", 9, "too large", is_final=True)),
        (MemoryRanOutError("ran out"), Failure(1, "b", 9, "ran out", is_final=False)),
        (ZeroDivisionError("by 0"), Failure(1, "b", 1, "ZeroDivisionError: by 0", is_final=False)),
    ],
)
def test_errors_of_the_run_are_final_and_crashes_may_be_tried_again(
    error: Exception, expected: Failure
) -> None:
    assert failure_of(error, rank=1, host="b") == expected


def test_an_error_that_came_from_a_peer_stays_the_peers() -> None:
    error = PeerError(BROKEN_PICTURE)
    assert str(error) == "on rank 1 (b): x.jpg: is damaged"
    assert error.exit_code == 3
    assert failure_of(error, rank=0, host="a") == BROKEN_PICTURE


class FailingStore(HashStore):
    """A store whose host has gone."""

    def check(self, keys: list[str]) -> bool:
        raise RuntimeError(f"connection closed before {keys} were looked up")


def test_what_was_seen_stays_known_when_the_store_goes() -> None:
    store = HashStore()
    board = FailureBoard(store, rank=1, size=2)
    board.publish(BROKEN_PICTURE)
    assert board.read() == BROKEN_PICTURE
    store.delete_key("failure")
    assert board.wait(seconds=5) == BROKEN_PICTURE


def test_nobody_waits_for_a_store_that_is_gone() -> None:
    started = time.monotonic()
    assert FailureBoard(FailingStore(), rank=1, size=2).wait(seconds=5) is None
    assert time.monotonic() - started < 1
