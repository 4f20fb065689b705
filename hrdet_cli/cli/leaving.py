"""How a process of ``hrdet`` ends."""

import atexit
import os
import sys
from typing import NoReturn

from hrdet_cli.engine.distributed.store_threads import may_wait_for_a_store


def end_process(exit_code: int) -> NoReturn:
    """End with an exit code, as ``sys.exit`` does.

    Where a thread still waits for a store that does not answer, the interpreter is left out: it would turn
    the exit code into an abort as soon as the answer came.
    """
    if may_wait_for_a_store():
        atexit._run_exitfuncs()
        end_at_once(exit_code)
    sys.exit(exit_code)


def end_at_once(exit_code: int) -> NoReturn:
    """End without the interpreter's farewell, which could wait for other threads; what was printed is out."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # closed from the start
            stream.flush()
    os._exit(exit_code)
