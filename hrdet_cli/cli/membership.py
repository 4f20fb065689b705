"""Whether this process belongs to a group, and who else is to come."""

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from hrdet_cli.cli.process_options import ProcessOptions
from hrdet_cli.errors import SpecError
from hrdet_cli.wording import command, counted

if TYPE_CHECKING:
    from hrdet_cli.engine.distributed.environment import Membership

_LAUNCHERS = {"torchrun": "torchrun", "slurm": "Slurm", "openmpi": "Open MPI", "azure": "Azure"}


def membership_of(options: ProcessOptions) -> "Membership | None":
    """The group that another launcher started this process into, unless hrdet is to launch."""
    from hrdet_cli.engine.distributed.environment import detect_membership

    membership = detect_membership(os.environ, default_port=options.master_port)
    if membership is None:
        return None
    if options.nodes is None and options.processes_per_node is None:
        options.refuse_for_members(membership.started_by)
        return membership
    if membership.started_by == "torchrun" or membership.size != (options.nodes or 1):
        raise SpecError(
            [
                f"--nodes {options.nodes or 1}: {membership.started_by} has started {membership.size} "
                "processes already; leave --nodes and --processes-per-node away to use them, or start one "
                "process on each node"
            ]
        )
    return None


def is_worker() -> bool:
    """Whether a launcher of this command started this process, and has looked at what it needs."""
    from hrdet_cli.engine.distributed.worker import launch_folder

    return launch_folder(os.environ) is not None


def with_detected_nodes(options: ProcessOptions) -> ProcessOptions:
    """The options, with the nodes of a launcher that started this command on each where none are given.

    Raises:
        GroupError: The launcher's variables are incomplete or contradict each other.
    """
    from hrdet_cli.engine.distributed.environment import detect_membership
    from hrdet_cli.engine.distributed.node_environment import detect_nodes

    if options.nodes is not None or options.master_addr is not None or is_worker():
        return options
    if detect_membership(os.environ, default_port=options.master_port) is not None:
        return options
    place = detect_nodes(os.environ)
    if place is None:
        return options
    return replace(
        options,
        nodes=place.num_nodes,
        node_rank=place.node_rank if options.node_rank is None else options.node_rank,
        master_addr=place.master_address,
        master_port=place.master_port or options.master_port,
    )


def describe_membership(membership: "Membership") -> str:
    """Who is waited for, and the way out: a launcher's variables are set in its interactive shells too."""
    from hrdet_cli.engine.distributed.addresses import format_endpoint
    from hrdet_cli.engine.distributed.environment import signs_of_launchers

    endpoint = format_endpoint(membership.master_address, membership.master_port)
    unset = [word for name in signs_of_launchers(os.environ) for word in ("-u", name)]
    alone = command("env", *unset, "hrdet", *sys.argv[1:])
    launcher = _LAUNCHERS[membership.started_by]
    return (
        f"rank 0 of {membership.size} processes that {launcher} started; waiting for "
        f"{counted(membership.size - 1, 'other')} at {endpoint}. To run alone instead: {alone}"
    )


def waits_for_others(options: ProcessOptions) -> bool:
    """Whether this process is to meet others, which may wait for it; workers have a launcher that did."""
    if is_worker():
        return False
    membership = membership_of(options)
    return (options.nodes or 1) > 1 if membership is None else membership.size > 1


def is_first_node(options: ProcessOptions) -> bool:
    """Whether this node has the group's first process, as far as can be told before the others come."""
    from hrdet_cli.engine.distributed.addresses import is_own_address, resolve

    membership = membership_of(options)
    if membership is not None:
        return membership.rank == 0
    if options.node_rank is not None:
        return options.node_rank == 0
    return is_own_address(resolve(options.master_addr or "127.0.0.1", options.master_port)[1])
