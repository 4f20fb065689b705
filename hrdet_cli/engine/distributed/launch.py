"""Starting a node's processes, on torch elastic.

The node's launcher runs no detector.  It meets the other nodes (`Rendezvous`), then torch elastic's agent
starts the workers, which are the user's command again in an environment that tells each its rank, and starts
all of them anew when one was lost and restarts are allowed.
"""

import math
import os
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import RendezvousClosedError, RendezvousError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from hrdet_cli.engine.distributed.ending import ending_of
from hrdet_cli.engine.distributed.launch_folders import made_launch_folder
from hrdet_cli.engine.distributed.node import Node
from hrdet_cli.engine.distributed.rendezvous import Rendezvous
from hrdet_cli.engine.distributed.stop_signals import stop_signals_handled
from hrdet_cli.engine.distributed.worker import FOLDER_VARIABLE, LaunchFolder, Orders
from hrdet_cli.errors import HrdetError, LostProcessError

_SHUTDOWN_SECONDS = 5


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """What the user asked for on this node.

    Attributes:
        num_nodes: Nodes of the group.
        num_processes: Processes to start on this node.
        master_address: A name or number; the node that has it holds the rendezvous.
        master_port: Free on that node.
        node_rank: This node's place among the nodes; None leaves it to the rendezvous.
        max_restarts: How often all processes may be started anew after one was lost.
        timeout_seconds: For nodes and processes to come, and for one collective.
        host: Name of this node, for messages.
        versions: Of hrdet and torch; all nodes must have the same.
    """

    num_nodes: int
    num_processes: int
    master_address: str
    master_port: int
    node_rank: int | None
    max_restarts: int
    timeout_seconds: float
    host: str
    versions: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The run was asked to stop, here or on another node, and did.

    Attributes:
        exit_code: 130 after Ctrl-C, here or on another node; else 128 and the signal's number.
    """

    exit_code: int


def launch(
    request: LaunchRequest,
    command: Sequence[str],
    *,
    say: Callable[[str], None],
    abort: Callable[[HrdetError], NoReturn],
) -> Stopped | None:
    """Run a command in this node's processes, as part of the group of all nodes.

    Must be called in the main thread, since it handles signals.

    Args:
        request: The group.
        command: The program and its arguments, the same on every node.
        say: Told what is waited for, and what a stop does.
        abort: Ends this process, and with it its workers, where it waits for what will not come; called in
            another thread, must not return.

    Returns:
        None when all processes finished their work.

    Raises:
        HrdetError: The error that ended the processes, with its exit code.
        GroupError: The nodes did not find each other.
        LostProcessError: A process died, and no restart was left.
    """
    with made_launch_folder() as path:
        folder = LaunchFolder(path)

        def abort_tidily(error: HrdetError) -> NoReturn:
            shutil.rmtree(path, ignore_errors=True)
            abort(error)

        with _stop_signals_noted(folder, say):
            try:
                rendezvous = Rendezvous(
                    master_address=request.master_address,
                    master_port=request.master_port,
                    timeout_seconds=request.timeout_seconds,
                    command=shlex.join(["hrdet", *command[3:]]),
                    on_wait=say,
                )
                with rendezvous:
                    _gather(rendezvous, request, abort=abort_tidily)
                    folder.write_orders(_orders(rendezvous, request))
                    _run_workers(rendezvous, request, command, folder)
            except SignalException:
                return _stopped(folder)
        return _stopped(folder) if folder.was_stopped() else None


def _gather(
    rendezvous: Rendezvous, request: LaunchRequest, *, abort: Callable[[HrdetError], NoReturn]
) -> None:
    rendezvous.gather(
        Node(
            host=request.host,
            address=rendezvous.local_address,
            num_nodes=request.num_nodes,
            num_processes=request.num_processes,
            node_rank=request.node_rank,
            versions=request.versions,
        ),
        abort=abort,
    )


def _orders(rendezvous: Rendezvous, request: LaunchRequest) -> Orders:
    return Orders(
        launch_id=rendezvous.launch_id(),
        host=f"{request.host} ({rendezvous.local_address})",
        holds_rendezvous=rendezvous.is_holder,
        node_rank=request.node_rank,
        timeout_seconds=request.timeout_seconds,
        max_restarts=request.max_restarts,
        launcher_pid=os.getpid(),
    )


def _run_workers(
    rendezvous: Rendezvous, request: LaunchRequest, command: Sequence[str], folder: LaunchFolder
) -> None:
    """Start the workers, again where one is lost, until all have ended well.

    Raises:
        HrdetError: They have not.
    """
    _prepare_environment(os.environ, folder, request.num_processes)
    config = LaunchConfig(
        min_nodes=request.num_nodes,
        max_nodes=request.num_nodes,
        nproc_per_node=request.num_processes,
        run_id="hrdet",
        rdzv_backend="c10d",
        rdzv_endpoint=rendezvous.endpoint,
        # `Rendezvous` holds the store; torch would decide by the host's name who does, and err.
        rdzv_configs={
            "is_host": False,
            "join_timeout": math.ceil(request.timeout_seconds),
            "close_timeout": _SHUTDOWN_SECONDS,
        },
        max_restarts=request.max_restarts,
        local_addr=rendezvous.local_address,
        signals_to_handle="SIGQUIT",  # the others are ours: see _stop_signals_noted
        logs_specs=DefaultLogsSpecs(log_dir=str(folder.path / "torch")),
    )
    try:
        elastic_launch(config, command[0])(*command[1:])
    except ChildFailedError as error:
        raise ending_of(error.failures.values(), folder, host=request.host) from error
    except RendezvousClosedError as error:
        raise LostProcessError(
            "another node ended the run; what it said tells why. Start all nodes again with --resume"
        ) from error
    except RendezvousError as error:
        if rendezvous.is_lost():
            reason = f"the node that holds the rendezvous at {rendezvous.endpoint} is gone"
        else:
            reason = (
                f"not all {request.num_nodes} nodes came back to {rendezvous.endpoint} in "
                f"{request.timeout_seconds:.0f} s after a process was lost"
            )
        raise LostProcessError(f"{reason}; start all nodes again with --resume") from error
    if folder.outcomes():
        raise ending_of((), folder, host=request.host)


def _prepare_environment(environ: MutableMapping[str, str], folder: LaunchFolder, num_processes: int) -> None:
    """What the workers inherit."""
    environ[FOLDER_VARIABLE] = str(folder.path)
    # A store of its own for each start of the workers: a node that comes back after it died counts restarts
    # from 0 again, and would look in the shared store for keys of another start than the others do.
    environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    # Workers that torch elastic ends, to start others, end at once or are frozen; torch 2.11 waits for 30 s.
    environ["TORCH_ELASTIC_SHUTDOWN_TIMEOUT"] = str(_SHUTDOWN_SECONDS)
    # An aborted exchange leaves garbage on the GPU; this ends the process without a moment to use it in.
    environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "3")
    if num_processes > 1:  # or each would start as many threads as there are cores
        environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // num_processes)))


@contextmanager
def _stop_signals_noted(folder: LaunchFolder, say: Callable[[str], None]) -> Iterator[None]:
    """The first signal to stop is a note, which workers heed after their step; the next one kills them.

    Without workers that could heed it, the first ends the launch at once.
    """

    def stop(number: int, _frame: FrameType | None) -> None:
        is_first = folder.stop_signal() is None
        if is_first:
            folder.ask_to_stop(signal.Signals(number).name)
        if is_first and folder.has_workers():
            say("finishing the step and saving; Ctrl-C again stops at once and loses it")
            return
        raise SignalException(f"stopped by signal {number}", sigval=signal.SIGKILL)

    with stop_signals_handled(stop):
        yield


def _stopped(folder: LaunchFolder) -> Stopped:
    """After a stop, which another node may have been asked for."""
    return Stopped(128 + signal.Signals[folder.stop_signal() or "SIGINT"].value)
