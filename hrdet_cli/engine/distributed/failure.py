"""How the processes of a group learn why one of them ended: the first failure stands on a shared board."""

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from hrdet_cli.errors import HrdetError, LostProcessError, MemoryRanOutError

if TYPE_CHECKING:  # what plans a run looks here, too, and does without torch
    from torch.distributed import Store

_KEY, _READERS = "failure", "failure-readers"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a process ended.

    Attributes:
        rank: The process; -1 where it is not known which one is to blame.
        host: Name of its node.
        exit_code: The exit code of the error it met, which all others end with too.
        message: The error in words.
        is_final: A restart would meet it again, as with a broken annotation file; not so for a lost process.
    """

    rank: int
    host: str
    exit_code: int
    message: str
    is_final: bool


class PeerError(HrdetError):
    """Another process of the group met an error that ends the run; has that error's exit code."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        self.exit_code = failure.exit_code
        super().__init__(f"on rank {failure.rank} ({failure.host}): {failure.message}")


class FailureBoard:
    """The first failure of a group, in its store.

    Args:
        store: A connection of its own: it may be used by another thread than the group's.
        rank: This process.
        size: Number of processes.
    """

    def __init__(self, store: "Store", *, rank: int, size: int) -> None:
        self._store = store
        self._rank = rank
        self._size = size
        self._seen: Failure | None = None
        self._is_gone = False

    def publish(self, failure: Failure) -> None:
        """Write a failure, unless another came first.  A store that is gone has no readers either."""
        try:
            self._store.compare_set(_KEY, "", json.dumps(asdict(failure)))
        except RuntimeError:
            return

    def read(self) -> Failure | None:
        """The first failure; None where there is none, or the store went before it was seen."""
        if self._seen is not None or self._is_gone:
            return self._seen
        try:
            if self._store.check([_KEY]):
                self._seen = Failure(**json.loads(self._store.get(_KEY)))
                self._store.set(f"{_READERS}/{self._rank}", "")
        except RuntimeError:
            self._is_gone = True
        return self._seen

    def wait(self, *, seconds: float) -> Failure | None:
        """The first failure, given some time to be written."""
        deadline = time.monotonic() + seconds
        while self.read() is None and not self._is_gone and time.monotonic() < deadline:
            time.sleep(0.1)
        return self._seen

    def wait_for_readers(self, *, seconds: float) -> None:
        """Keep the store up until all others have read; for the process that hosts it."""
        readers = [f"{_READERS}/{rank}" for rank in range(self._size) if rank != self._rank]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if self._store.check(readers):
                    return
            except RuntimeError:
                return
            time.sleep(0.1)


def failure_of(error: BaseException, *, rank: int, host: str) -> Failure:
    """An exception as a failure of this process."""
    if isinstance(error, PeerError):
        return error.failure
    exit_code = error.exit_code if isinstance(error, HrdetError) else 1
    is_final = isinstance(error, HrdetError) and not isinstance(error, LostProcessError | MemoryRanOutError)
    message = str(error) if isinstance(error, HrdetError) else f"{type(error).__name__}: {error}"
    return Failure(rank, host, exit_code, message, is_final)
