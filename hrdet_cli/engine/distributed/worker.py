"""What a launcher tells the processes it starts, and what they leave for it.

The launcher makes a folder for one launch (see `made_launch_folder`).  Its workers find the folder's path in
their environment::

    FOLDER/orders.json        the launcher's `Orders`
           stop               written when the launcher was asked to stop; holds the signal's name
           stopped            written by a worker that stopped because some process was asked to
           rank-of-0.json     rank, process id and log file of the node's process 0
           outcome-of-0.json  the error it ended with, where it ended with one
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hrdet_cli.engine.distributed.failure import Failure

FOLDER_VARIABLE = "HRDET_LAUNCH_FOLDER"
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, slots=True)
class Orders:
    """What workers need to know beside torch's variables.

    Attributes:
        launch_id: The same on all nodes of a launch, and after a restart.
        host: Name of this node, for messages.
        holds_rendezvous: This node has the master address.
        node_rank: Its place among the nodes, where the user gave one.
        timeout_seconds: For joining, and for one collective.
        max_restarts: How often the launcher starts processes anew.
        launcher_pid: The process that started them.
    """

    launch_id: str
    host: str
    holds_rendezvous: bool
    node_rank: int | None
    timeout_seconds: float
    max_restarts: int
    launcher_pid: int


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """Which rank a worker got, and where it logs; None for commands that keep no log."""

    rank: int
    process_id: int
    log_file: str | None


class LaunchFolder:
    """The files a launcher and its workers share."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write_orders(self, orders: Orders) -> None:
        """Write them down before any worker starts."""
        (self.path / "orders.json").write_text(json.dumps(asdict(orders)), encoding="utf-8")

    def orders(self) -> Orders:
        """The launcher's orders."""
        return Orders(**json.loads((self.path / "orders.json").read_text(encoding="utf-8")))

    def ask_to_stop(self, signal_name: str) -> None:
        """Note that whatever ends the workers from now on was asked for."""
        (self.path / "stop").write_text(signal_name, encoding="utf-8")

    def stop_signal(self) -> str | None:
        """Name of the signal that asked the launcher to stop; None if none did."""
        file = self.path / "stop"
        return file.read_text(encoding="utf-8") if file.is_file() else None

    def note_stopped(self) -> None:
        """Note that the work was stopped before its end."""
        (self.path / "stopped").touch()

    def was_stopped(self) -> bool:
        """Whether the work was stopped before its end."""
        return (self.path / "stopped").is_file()

    def forget(self, local_rank: int) -> None:
        """Remove what a worker's predecessor left, before a restart."""
        self._outcome_file(local_rank).unlink(missing_ok=True)
        self._place_file(local_rank).unlink(missing_ok=True)

    def has_workers(self) -> bool:
        """Whether a worker lives that has joined its group, and will heed a stop."""
        files = self.path.glob("rank-of-*.json")
        return any(_is_alive(json.loads(file.read_text())["process_id"]) for file in files)

    def write_place(self, local_rank: int, place: WorkerPlace) -> None:
        """Note where a worker joined."""
        _write(self._place_file(local_rank), asdict(place))

    def place(self, local_rank: int) -> WorkerPlace | None:
        """A worker's rank; None before it has joined."""
        file = self._place_file(local_rank)
        return WorkerPlace(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None

    def write_outcome(self, local_rank: int, failure: Failure) -> None:
        """Note why a worker ends."""
        _write(self._outcome_file(local_rank), asdict(failure))

    def has_outcome(self, local_rank: int) -> bool:
        """Whether a worker noted why it ended."""
        return self._outcome_file(local_rank).is_file()

    def outcomes(self) -> list[Failure]:
        """Why workers of this node ended, the first to end first."""
        files = sorted(self.path.glob("outcome-of-*.json"), key=lambda file: file.stat().st_mtime_ns)
        return [Failure(**json.loads(file.read_text(encoding="utf-8"))) for file in files]

    def _place_file(self, local_rank: int) -> Path:
        return self.path / f"rank-of-{local_rank}.json"

    def _outcome_file(self, local_rank: int) -> Path:
        return self.path / f"outcome-of-{local_rank}.json"


def _write(file: Path, value: dict[str, Any]) -> None:
    """Whole or not at all: the launcher may read at any time."""
    temporary = file.with_suffix(".tmp")
    temporary.write_text(json.dumps(value), encoding="utf-8")
    temporary.replace(file)


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def launch_folder(environ: Mapping[str, str]) -> LaunchFolder | None:
    """The folder of the launch that this process is a worker of; None where hrdet did not start it."""
    path = environ.get(FOLDER_VARIABLE)
    return LaunchFolder(Path(path)) if path else None


def die_with(launcher_pid: int) -> None:
    """Have the kernel kill this process when its launcher dies, which may happen without a word to it.

    Only Linux can; elsewhere workers notice at their next exchange.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher_pid:  # it died before the line above
        os.kill(os.getpid(), signal.SIGKILL)
