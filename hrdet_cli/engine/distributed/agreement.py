"""Errors of one process that all processes of a group end with, after the same step."""

import socket

from hrdet_cli.engine.distributed.collectives import gather_everywhere
from hrdet_cli.engine.distributed.failure import PeerError, failure_of
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.errors import HrdetError


def raise_together(error: HrdetError | None, *, what: str) -> None:
    """Raise an error that any process met, on all of them; without one, nothing happens.

    In one process it is just raised.  Otherwise this is a collective.

    Args:
        error: What this process met.
        what: What could have gone wrong, for the watchdog.

    Raises:
        HrdetError: This process's error.
        PeerError: That of the first other process that has one.
    """
    host = socket.gethostname()
    own = None if error is None else failure_of(error, rank=current_world().rank, host=host)
    failures = [failure for failure in gather_everywhere(own, what=what) if failure is not None]
    if error is not None:
        raise error
    if failures:
        raise PeerError(failures[0])
