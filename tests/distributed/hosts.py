"""Machines in miniature: network namespaces that share a disk and nothing of a network.

Each host has a loopback of its own, an interface ``eth0`` with an IPv4 and an IPv6 address, a host name, and
an ``/etc/hosts`` as Debian makes it: a machine's own name means 127.0.1.1, only its domain name its address.
They meet on a bridge in one more namespace, so that this machine's own network does not change.
"""

import functools
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from tests.forked import ForkedHrdet, Namespaces

KILL_SECONDS = 10


class Host:
    """One host; made by `Hosts`.

    Attributes:
        hostname: ``host1``, ``host2``, ...: what the host calls itself.
        domain_name: ``host1.test``, ...: means `address` on every host.
        address: 10.77.0.1, ...
        address6: fd77::1, ...
        namespace: For ``ip -n`` and ``ip netns exec``.
    """

    def __init__(self, *, number: int, namespace: str, hosts_file: Path) -> None:
        self.hostname = f"host{number}"
        self.domain_name = f"{self.hostname}.test"
        self.address = f"10.77.0.{number}"
        self.address6 = f"fd77::{number}"
        self.namespace = namespace
        self.port = f"port{number}"
        self.hosts_file = hosts_file
        self._namespaces = Namespaces(network=namespace, hostname=self.hostname, hosts_file=hosts_file)
        self._processes: list[subprocess.Popen[str] | ForkedHrdet] = []

    def start(
        self,
        *argv: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> subprocess.Popen[str]:
        """Start a program on this host; the process is the program itself, so signals reach it.

        Args:
            argv: The program and its arguments.
            cwd: Its folder.
            env: Its whole environment; that of this process by default.
            log: Where stdout and stderr go.  Without it they come together in the process's ``stdout``, which
                has to be read before it holds 64 KiB.
        """
        with ExitStack() as stack:
            output = subprocess.PIPE if log is None else stack.enter_context(log.open("ab"))
            heard, said = (
                stack.enter_context(os.fdopen(end, mode)) for end, mode in zip(os.pipe(), "rw", strict=True)
            )

            def enter() -> None:
                try:
                    self._namespaces.enter()
                except OSError as error:  # of which Popen tells no more than that there was one
                    os.write(said.fileno(), str(error).encode())
                    raise

            try:
                process = subprocess.Popen(
                    [*map(str, argv)],
                    cwd=cwd,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    text=True,
                    start_new_session=True,  # Ctrl-C is for pytest, which then clears up
                    preexec_fn=enter,
                )
            except subprocess.SubprocessError as error:
                said.close()
                raise subprocess.SubprocessError(heard.read()) from error
        self._processes.append(process)
        return process

    def start_hrdet(
        self,
        *arguments: str | Path,
        folder: Path,
        environment: Mapping[str, str],
        log: Path,
        with_tiny_network: bool = True,
    ) -> ForkedHrdet:
        """Start ``hrdet ARGUMENTS`` on this host, as `start` does."""
        process = ForkedHrdet(
            *arguments,
            folder=folder,
            environment=environment,
            log=log,
            namespaces=self._namespaces,
            with_tiny_network=with_tiny_network,
        )
        self._processes.append(process)
        return process

    def process_ids(self) -> list[int]:
        """Processes that live on this host, children of children included."""
        return [int(pid) for pid in run_ip("netns", "pids", self.namespace).split()]

    def kill_all(self) -> None:
        """End every process of this host with SIGKILL, as a power cut does."""
        deadline = time.monotonic() + KILL_SECONDS
        while pids := self.process_ids():  # again, as long as a dying process could still fork
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self.hostname} still has processes {pids}")
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)
        for process in self._processes:
            process.wait()

    def forget_processes(self) -> None:
        """Close what their output came by."""
        for process in self._processes:
            if isinstance(process, subprocess.Popen) and process.stdout is not None:
                process.stdout.close()
        self._processes.clear()


class Hosts:
    """Several hosts on one bridge; a context manager that leaves nothing behind."""

    def __init__(self, num_hosts: int) -> None:
        self._name = f"hrdet-test-{os.getpid()}-{secrets.token_hex(2)}"
        self._folder = Path(tempfile.mkdtemp(prefix=self._name))
        self._switch = f"{self._name}-switch"
        self._hosts = [
            Host(number=n, namespace=f"{self._name}-{n}", hosts_file=self._folder / f"hosts{n}")
            for n in range(1, num_hosts + 1)
        ]

    def __enter__(self) -> Self:
        try:
            run_ip("netns", "add", self._switch)
            run_ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
            run_ip("-n", self._switch, "link", "set", "bridge", "up")
            for host in self._hosts:
                self._connect(host)
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def __getitem__(self, index: int) -> Host:
        return self._hosts[index]

    def __iter__(self) -> Iterator[Host]:
        return iter(self._hosts)

    def __len__(self) -> int:
        return len(self._hosts)

    def cut(self, host: Host) -> None:
        """Pull the host's plug out of the bridge; its processes live on and hear nobody."""
        run_ip("-n", self._switch, "link", "set", host.port, "down")

    def mend(self, host: Host) -> None:
        """Put the plug back."""
        run_ip("-n", self._switch, "link", "set", host.port, "up")

    def _connect(self, host: Host) -> None:
        host.hosts_file.write_text(self._names_on(host))
        inside = ("-n", host.namespace)
        run_ip("netns", "add", host.namespace)
        plug = ("type", "veth", "peer", "name", "eth0", "netns", host.namespace)
        run_ip("-n", self._switch, "link", "add", host.port, *plug)
        run_ip("-n", self._switch, "link", "set", host.port, "master", "bridge", "up")
        run_ip(*inside, "link", "set", "lo", "up")
        run_ip(*inside, "address", "add", f"{host.address}/24", "dev", "eth0")
        # Without a check for duplicates, which would leave the address unusable for a second or two.
        run_ip(*inside, "address", "add", f"{host.address6}/64", "dev", "eth0", "nodad")
        run_ip(*inside, "link", "set", "eth0", "up")

    def _names_on(self, host: Host) -> str:
        lines = ["127.0.0.1 localhost", "::1 localhost", f"127.0.1.1 {host.hostname}"]
        for other in self._hosts:
            lines.append(f"{other.address} {other.domain_name}")
            if other is not host:
                lines.append(f"{other.address} {other.hostname}")
        return "\n".join(lines) + "\n"

    def _remove(self) -> None:
        there = run_ip("netns", "list").split()
        for host in self._hosts:
            if host.namespace in there:
                host.kill_all()
                host.forget_processes()
                run_ip("netns", "delete", host.namespace)
        if self._switch in there:
            run_ip("netns", "delete", self._switch)
        shutil.rmtree(self._folder)


@functools.cache
def can_make_hosts() -> str | None:
    """Why this machine does not allow network namespaces, in words for a skipped test; None if it does."""
    if sys.platform != "linux":
        return "network namespaces need Linux"
    if shutil.which("ip") is None:
        return "network namespaces need the program ip"
    try:
        with Hosts(1) as hosts:
            hosts[0].start("true").wait(timeout=30)
    except subprocess.CalledProcessError as error:
        return f"network namespaces cannot be made: {error.stderr.strip()}"
    except subprocess.SubprocessError as error:
        return f"network namespaces cannot be entered: {error}"
    return None


def run_ip(*arguments: str) -> str:
    """What ``ip ARGUMENTS`` prints."""
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout
