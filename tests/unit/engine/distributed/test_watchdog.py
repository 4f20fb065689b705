import json
import threading
import time
from pathlib import Path
from typing import NoReturn

import pytest
from torch.distributed import HashStore, PrefixStore

from hrdet_cli.engine.distributed import beats, watchdog
from hrdet_cli.engine.distributed.activity import ACTIVITY, GPU_COLLECTIVES
from hrdet_cli.engine.distributed.beats import BeatBook
from hrdet_cli.engine.distributed.failure import Failure, FailureBoard
from hrdet_cli.engine.distributed.flight_recorder import FlightRecorder
from hrdet_cli.engine.distributed.hang_evidence import HangEvidence
from hrdet_cli.engine.distributed.stacks import STACKS
from hrdet_cli.engine.distributed.watchdog import Watchdog
from hrdet_cli.errors import HrdetError

# How `Aborted` ends a watchdog's thread.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Aborted:
    """Collects what the watchdog would end the process with."""

    def __init__(self) -> None:
        self.errors: list[HrdetError] = []

    def __call__(self, error: HrdetError) -> NoReturn:
        self.errors.append(error)
        raise SystemExit  # ends the watchdog's thread alone: what follows must not run

    def wait(self) -> HrdetError:
        deadline = time.monotonic() + 10
        while not self.errors and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.errors[0]


@pytest.fixture
def aborted(monkeypatch: pytest.MonkeyPatch) -> Aborted:
    monkeypatch.setattr(watchdog, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(watchdog, "SILENCE_SECONDS", 1e9)
    monkeypatch.setattr(watchdog, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(ACTIVITY, "num_collectives", 214)
    monkeypatch.setattr(ACTIVITY, "waiting_for", "sums of norms")
    monkeypatch.setattr(ACTIVITY, "phase", "step 37")
    return Aborted()


def watching(
    store: HashStore,
    aborted: Aborted,
    *,
    timeout_seconds: float,
    store_rank: int = 0,
    recorder: FlightRecorder | None = None,
) -> Watchdog:
    return Watchdog(
        store=PrefixStore("watchdog", store),
        board=FailureBoard(PrefixStore("board", store), rank=0, size=3),
        members=("gpu-a", "gpu-b", "gpu-c"),
        rank=0,
        store_rank=store_rank,
        timeout_seconds=timeout_seconds,
        abort=aborted,
        evidence=HangEvidence(recorder),
    )


def write_beat(store: HashStore, rank: int, num_collectives: int, phase: str, number: int = 1) -> None:
    store.set(f"watchdog/beat/{rank}", json.dumps([num_collectives, None, phase, number]))


def test_a_collective_that_takes_too_long_names_who_is_missing_and_where_it_is(aborted: Aborted) -> None:
    store = HashStore()
    write_beat(store, 1, 210, "step 36")
    write_beat(store, 2, 214, "step 37")
    with watching(store, aborted, timeout_seconds=0.2):
        error = aborted.wait()
    assert error.exit_code == 8
    told = (
        "in the sums of norms (collective 214, step 37). Missing: rank 1 on gpu-b, last at collective 210 in"
    )
    assert told in str(error)
    assert "gpu-c" not in str(error)


def test_a_hang_names_its_files_and_says_what_torch_finds_in_them(
    aborted: Aborted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = FlightRecorder(tmp_path, rank=0, size=3)
    monkeypatch.setattr(FlightRecorder, "write", lambda _: None)
    monkeypatch.setattr(FlightRecorder, "analyse", lambda _, wait_seconds: f"found in {wait_seconds} s")
    store = HashStore()
    write_beat(store, 1, 210, "step 36")
    stacks = STACKS.kept_in(tmp_path / "rank-0.stacks")
    with stacks, watching(store, aborted, timeout_seconds=0.1, recorder=recorder):
        error = aborted.wait()
    assert f". The Python stacks of each rank are in {tmp_path}/rank-N.stacks. NCCL's traces" in str(error)
    assert f"torchfrtrace --prefix nccl-trace-rank- {tmp_path}" in str(error)
    assert str(error).endswith("Torch's analysis of the traces: found in 3.0 s")
    failure = FailureBoard(PrefixStore("board", store), rank=1, size=3).read()
    assert failure is not None
    assert "torchfrtrace" in failure.message
    assert "most recent call first" in (tmp_path / "rank-0.stacks").read_text()


def test_a_process_that_falls_silent_is_named_long_before_the_timeout(
    aborted: Aborted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(beats, "NOTICED_SECONDS", 0.3)
    store = HashStore()
    write_beat(store, 1, 214, "step 37")
    write_beat(store, 2, 214, "step 37")
    with watching(store, aborted, timeout_seconds=1e9):
        error = aborted.wait()
    assert str(error).startswith("rank 1 on gpu-b, rank 2 on gpu-c: not heard of for ")
    assert "last in step 37" in str(error)


class Event:
    """A place in the work of a GPU."""

    def __init__(self, *, is_past: bool) -> None:
        self.is_past = is_past

    def query(self) -> bool:
        return self.is_past


def test_a_process_outside_of_a_collective_is_left_alone(
    aborted: Aborted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ACTIVITY, "waiting_for", None)
    GPU_COLLECTIVES.add("sums of norms", Event(is_past=True))
    with watching(HashStore(), aborted, timeout_seconds=0.05):
        time.sleep(0.5)
    assert not aborted.errors


def test_a_hang_on_the_gpu_names_its_collective_though_the_host_says_nothing(
    aborted: Aborted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ACTIVITY, "waiting_for", None)
    stuck = Event(is_past=False)
    GPU_COLLECTIVES.add("sums of norms", Event(is_past=True))
    monkeypatch.setattr(ACTIVITY, "num_collectives", 215)
    GPU_COLLECTIVES.add("sums of losses", stuck)
    monkeypatch.setattr(ACTIVITY, "num_collectives", 219)
    store = HashStore()
    write_beat(store, 1, 214, "step 37")
    write_beat(store, 2, 215, "step 37")
    try:
        with watching(store, aborted, timeout_seconds=0.2):
            error = aborted.wait()
    finally:
        stuck.is_past = True
    told = (
        "in the sums of losses on the GPU (collective 215, step 37). Missing: rank 1 on gpu-b, last at colle"
    )
    assert told in str(error)
    assert "gpu-c" not in str(error)
    assert GPU_COLLECTIVES.first() is None


class FailedEvent:
    """On a GPU that failed."""

    def query(self) -> bool:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")


def test_a_gpu_that_failed_is_no_lost_store(aborted: Aborted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ACTIVITY, "waiting_for", None)
    GPU_COLLECTIVES.add("sums of norms", FailedEvent())
    with watching(HashStore(), aborted, timeout_seconds=0.05):
        time.sleep(0.3)
    assert not aborted.errors
    assert GPU_COLLECTIVES.first() is None


def test_a_holder_of_the_store_that_sums_up_no_more_is_named(
    aborted: Aborted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watchdog, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(beats, "NOTICED_SECONDS", 0.3)
    store = HashStore()
    holder = BeatBook(PrefixStore("watchdog", store), rank=1, size=3, store_rank=1)
    holder.open()
    holder.write()
    with watching(store, aborted, timeout_seconds=1e9, store_rank=1):
        error = aborted.wait()
    assert str(error).startswith("rank 1 on gpu-b: not heard of for ")


def test_a_failure_elsewhere_ends_a_process_that_waits_in_a_collective(aborted: Aborted) -> None:
    store = HashStore()
    board = FailureBoard(PrefixStore("board", store), rank=2, size=3)
    board.publish(Failure(2, "gpu-c", 3, "x.jpg: is damaged", is_final=True))
    with watching(store, aborted, timeout_seconds=1e9):
        error = aborted.wait()
    assert (error.exit_code, str(error)) == (3, "on rank 2 (gpu-c): x.jpg: is damaged")


class FrozenStore(HashStore):
    """A store whose process takes connections and does not answer until it is thawed."""

    def __init__(self) -> None:
        super().__init__()
        self.is_thawed = threading.Event()

    def set(self, _key: str, _value: str) -> None:
        self.is_thawed.wait(60)
        raise RuntimeError("Connection reset by peer")


def test_a_store_that_never_answers_is_told_with_the_process_that_holds_it(aborted: Aborted) -> None:
    store = FrozenStore()
    dog = Watchdog(
        store=store,
        board=FailureBoard(HashStore(), rank=0, size=3),
        members=("gpu-a", "gpu-b", "gpu-c"),
        rank=0,
        store_rank=1,
        timeout_seconds=0.2,
        abort=aborted,
        evidence=HangEvidence(None),
    )
    with dog:
        error = aborted.wait()
        store.is_thawed.set()
    assert error.exit_code == 8
    assert str(error).startswith("rank 1 on gpu-b, which holds the group's store, did not answer for 0 s: ")
    assert str(error).endswith("noticed in step 37")


def test_processes_without_a_new_beat_are_missing(aborted: Aborted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beats, "NOTICED_SECONDS", 0.2)
    store = HashStore()
    write_beat(store, 1, 214, "step 37")
    with watching(store, aborted, timeout_seconds=1e9) as dog:
        assert dog.missing() == ""
        deadline = time.monotonic() + 10
        for number in range(2, 10**6):
            write_beat(store, 2, 214, "step 37", number)
            if dog.missing() or time.monotonic() > deadline:
                break
            time.sleep(0.01)
        assert dog.missing() == "rank 1 on gpu-b"


def test_a_diagnosis_is_told_to_the_others(aborted: Aborted) -> None:
    store = HashStore()
    write_beat(store, 1, 3, "start")
    with watching(store, aborted, timeout_seconds=0.1):
        error = aborted.wait()
    published = FailureBoard(PrefixStore("board", store), rank=1, size=3).read()
    assert published == Failure(0, "gpu-a", 8, str(error), is_final=False)
