"""``hrdet`` as a process of a group whose store falls silent just when the group is left.

Usage: python -m tests.distributed.leaving_group ARGUMENTS OF HRDET

Rank 0, which holds the store, freezes once the others have come to the end.  They find their store silent
while they leave: they look around first for longer than it takes to ask it.  Then they say on a pipe, whose
number is in LEFT_PIPE, that they have left, and the end of their interpreter takes its time.
"""

import ctypes
import faulthandler
import os
import signal
import sys
import time
from types import TracebackType

from hrdet_cli.cli.app import main
from hrdet_cli.engine.distributed.watchdog import BEAT_SECONDS, Watchdog
from tests.tiny_network import tiny_network

leave_watchdog = Watchdog.__exit__


def leave_late(
    watchdog: Watchdog,
    kind: type[BaseException] | None,
    error: BaseException | None,
    trace: TracebackType | None,
) -> None:
    """In place of leaving the watchdog at once."""
    if os.environ["RANK"] == "0":
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGSTOP)
    else:
        time.sleep(3 * BEAT_SECONDS)
    leave_watchdog(watchdog, kind, error, trace)
    os.write(int(os.environ["LEFT_PIPE"]), b"left")


if __name__ == "__main__":
    faulthandler.enable()
    Watchdog.__exit__ = leave_late  # type: ignore[method-assign,assignment]  # for this process
    libc = ctypes.CDLL(None)
    libc.__cxa_atexit(libc.sleep, ctypes.c_void_p(5), None)
    with tiny_network():
        main()
