"""Errors that one node meets before the others come: said at once, and told to those that wait for it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from hrdet_cli.cli.failures import print_error
from hrdet_cli.cli.membership import membership_of, waits_for_others
from hrdet_cli.cli.process_options import ProcessOptions
from hrdet_cli.errors import HrdetError

_MEMBERS_NOTICE_SECONDS = 60.0


@contextmanager
def refused_for_all(options: ProcessOptions) -> Iterator[None]:
    """Inside is what one node can find out alone: an error is said at once, and then told to nodes that wait.

    Raises:
        typer.Exit: With the error's exit code, after it was told.
    """
    try:
        yield
    except HrdetError as error:
        if not waits_for_others(options):
            raise
        print_error(error)
        membership = membership_of(options)
        if membership is None:
            from hrdet_cli.engine.distributed.rendezvous import refuse_for_all

            refuse_for_all(
                error,
                master_address=options.master_addr or "",
                master_port=options.master_port,
                host=socket.gethostname(),
            )
        else:
            from hrdet_cli.engine.distributed.group import refuse_for_group

            seconds = min(options.timeout_seconds, _MEMBERS_NOTICE_SECONDS)
            refuse_for_group(membership, error, timeout_seconds=seconds)
        raise typer.Exit(error.exit_code) from error
