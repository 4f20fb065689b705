"""Ports for servers that a test starts a moment later, in another process."""

import os
import socket
from itertools import count

_FIRST, _PER_WORKER, _MAX_WORKERS = 20_000, 1_000, 12
"""Below 32,768, from where Linux takes a port for whoever asks for any."""
_numbers = count(os.getpid())


def free_port() -> int:
    """One on which nobody listens, and which no other test, nor the system, will take meanwhile."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _MAX_WORKERS
    for _ in range(_PER_WORKER):
        port = _FIRST + worker * _PER_WORKER + next(_numbers) % _PER_WORKER
        try:
            with socket.create_server(("", port)):
                return port
        except OSError:
            continue
    raise AssertionError("no port is free")
