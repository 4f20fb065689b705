"""Options for processes, of which a test names those that it is about."""

from hrdet_cli.cli.process_options import ProcessOptions


def options(
    *,
    nodes: int | None = None,
    master_addr: str | None = None,
    node_rank: int | None = None,
    max_restarts: int = 0,
) -> ProcessOptions:
    """Those that are given, and no others."""
    return ProcessOptions(
        nodes=nodes,
        master_addr=master_addr,
        master_port=29500,
        node_rank=node_rank,
        processes_per_node=None,
        max_restarts=max_restarts,
        timeout_seconds=600,
    )
