"""The command ``hrdet`` in processes of its own that need not import torch anew.

They are forked from one process that has imported torch and hrdet once for all tests: to import them takes
longer than most of what a test does. For the same reason the workers of a launcher are forks of it; that they
are a program of their own is tested where a process that is none of these starts some.
"""

import ctypes
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import weakref
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.context import ForkServerContext
from pathlib import Path
from unittest.mock import patch

NEVER_SECONDS = 1e6
"""After which work gets a line: what tests see of a command does not depend on how busy the machine is."""
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWNET = 0x00020000, 0x04000000, 0x40000000
MS_BIND, MS_REC, MS_SLAVE, MNT_DETACH = 4096, 16384, 1 << 19, 2
_LIBC = ctypes.CDLL(None, use_errno=True)
"""Opened here: a process that was forked from one with threads should open nothing before its program."""


def preloaded_context() -> ForkServerContext:
    """Starts processes as forks of the one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.preloaded"])
    return context


def call_libc(name: str, *arguments: object) -> None:
    """Call a function of the C library that returns 0.

    Raises:
        OSError: It returns something else.
    """
    if getattr(_LIBC, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespaces:
    """What makes a process live on another host.

    Attributes:
        network: The name of a network namespace.
        hostname: The host's name.
        hosts_file: Its ``/etc/hosts``.
    """

    network: str
    hostname: str
    hosts_file: Path

    def enter(self) -> None:
        """Move this process there; it must have one thread, and the rights of root."""
        with Path("/run/netns", self.network).open() as network:
            call_libc("setns", network.fileno(), CLONE_NEWNET)
        call_libc("unshare", CLONE_NEWNS | CLONE_NEWUTS)
        call_libc("mount", b"none", b"/", None, ctypes.c_ulong(MS_REC | MS_SLAVE), None)
        call_libc("umount2", b"/sys", MNT_DETACH)
        call_libc("mount", self.network.encode(), b"/sys", b"sysfs", ctypes.c_ulong(0), None)
        call_libc("mount", bytes(self.hosts_file), b"/etc/hosts", None, ctypes.c_ulong(MS_BIND), None)
        socket.sethostname(self.hostname)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Life:
    """What a process is to be before it becomes ``hrdet``."""

    argv: list[str]
    folder: Path
    environment: dict[str, str]
    stdout: Path
    stderr: Path
    namespaces: Namespaces | None
    with_tiny_network: bool
    prepare: Callable[[], None] | None


class ForkedHrdet:
    """``hrdet ARGUMENTS``, started; has what a ``subprocess.Popen`` has.

    It leads a session of its own. What it prints goes to files.

    Attributes:
        pid: Its process id.
        stdout: The file of its standard output.
        stderr: That of its errors; may be the same.
    """

    def __init__(
        self,
        *arguments: str | Path,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        log: Path | None = None,
        namespaces: Namespaces | None = None,
        with_tiny_network: bool = True,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        """Start it.

        Args:
            arguments: As the user gives them.
            folder: Where; None is the current folder.
            environment: The whole of it; None is this process's.
            log: Where both streams go, behind what is there; None gives each a file of its own.
            namespaces: The host that it lives on; None is this one.
            with_tiny_network: Whether it has `tests.tiny_network` in the place of the small one.
            prepare: Called in the process before it becomes ``hrdet``; can be pickled.
        """
        printed = Path(tempfile.mkdtemp(prefix="hrdet-test-"))
        weakref.finalize(self, shutil.rmtree, printed)
        self.stdout, self.stderr = (log or printed / name for name in ("stdout", "stderr"))
        life = _Life(
            argv=["hrdet", *map(str, arguments)],
            folder=Path.cwd() if folder is None else folder,
            environment=dict(os.environ if environment is None else environment),
            stdout=self.stdout,
            stderr=self.stderr,
            namespaces=namespaces,
            with_tiny_network=with_tiny_network,
            prepare=prepare,
        )
        self._process = preloaded_context().Process(target=_become_hrdet, args=(life,))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, minus a signal's number, or None as long as it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """As ``returncode``."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended.

        Raises:
            TimeoutExpired: It has not in so many seconds.
        """
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired("hrdet", timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it printed, once it has ended; as ``wait``."""
        self.wait(timeout)
        return self.stdout.read_text(encoding="utf-8"), self.stderr.read_text(encoding="utf-8")

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it still runs."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it by SIGKILL, if it still runs."""
        self.send_signal(signal.SIGKILL)


def run_forked(
    work: Callable[..., None], *args: object, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """What a function prints in a process of its own, and what that ends with; as of ``subprocess.run``.

    Args:
        work: A function of a module that can be imported.
        args: Can be pickled.
        timeout: Seconds that it may take.

    Raises:
        TimeoutExpired: It takes longer.
    """
    with tempfile.TemporaryDirectory(prefix="hrdet-test-") as folder:
        stdout, stderr = (Path(folder, name) for name in ("stdout", "stderr"))
        process = preloaded_context().Process(target=_print_and_work, args=(stdout, stderr, work, args))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(work.__name__, timeout)
        printed = (file.read_text(encoding="utf-8") for file in (stdout, stderr))
        return subprocess.CompletedProcess(work.__name__, process.exitcode, *printed)


def _print_and_work(stdout: Path, stderr: Path, work: Callable[..., None], args: tuple[object, ...]) -> None:
    _be_no_fork(stdout, stderr)
    work(*args)


def _be_no_fork(stdout: Path, stderr: Path) -> None:
    """Have this process print to files, read nothing, and start others as a program does by default.

    What a server forks would else have a server of its own, which imports everything anew.
    """
    multiprocessing.set_start_method(None, force=True)
    for number, file in ((0, Path(os.devnull)), (1, stdout), (2, stderr)):
        opened = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(opened, number)
        os.close(opened)


def _become_hrdet(life: _Life) -> None:
    os.setsid()
    if life.namespaces is not None:
        life.namespaces.enter()
    _be_no_fork(life.stdout, life.stderr)
    os.chdir(life.folder)
    os.environ.clear()
    os.environ.update(life.environment)
    sys.argv = life.argv
    from torch.distributed.elastic.multiprocessing.subprocess_handler.subprocess_handler import (
        SubprocessHandler,
    )

    from hrdet_cli.cli.app import main
    from hrdet_cli.cli.display import work
    from tests.tiny_network import tiny_network

    work._LINE_SECONDS = NEVER_SECONDS
    if life.prepare is not None:
        life.prepare()
    network = tiny_network() if life.with_tiny_network else nullcontext()
    with network, patch.object(SubprocessHandler, "_popen", _fork_worker):
        main()


def _fork_worker(_: object, argv: tuple[str, ...], environment: dict[str, str]) -> "_ForkedWorker":
    """In place of the method by which torch elastic starts a program."""
    return _ForkedWorker(argv, environment)


class _ForkedWorker:
    """A launcher's worker; has what torch elastic asks of a ``subprocess.Popen``."""

    def __init__(self, argv: tuple[str, ...], environment: dict[str, str]) -> None:
        assert argv[1:3] == ("-m", "hrdet_cli"), argv
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _become_worker(list(argv[2:]), environment)
            finally:
                os._exit(1)

    def poll(self) -> int | None:
        """Its exit code, minus a signal's number, or None as long as it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """As that of ``ForkedHrdet``."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("hrdet", timeout or 0)
            time.sleep(0.01)
        return self.returncode or 0


def _become_worker(argv: list[str], environment: dict[str, str]) -> None:
    """What a new program is after ``exec``: nothing of the launcher's is left but its standard streams."""
    os.setsid()
    kept = resource_tracker.getfd()  # multiprocessing writes to it by its number
    assert kept is not None
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.disable(logging.NOTSET)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = argv
    from hrdet_cli.cli.app import main

    try:
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)
