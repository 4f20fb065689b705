"""What a node says of itself, and whether all nodes were started alike."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Node:
    """What a node says of itself.

    Attributes:
        host: Its name.
        address: Its own address towards the master.
        num_nodes: Nodes it was told to wait for, itself included.
        num_processes: Processes it will start.
        node_rank: Where the user gave one.
        versions: Of hrdet and torch.
    """

    host: str
    address: str
    num_nodes: int
    num_processes: int
    node_rank: int | None
    versions: str

    def __str__(self) -> str:
        return f"{self.host} ({self.address})"


def contradictions(nodes: Sequence[Node]) -> Iterator[str]:
    """What nodes were started with that cannot be one launch, in words."""
    first = nodes[0]
    for node in nodes[1:]:
        for option, ours, theirs in (
            ("--nodes", first.num_nodes, node.num_nodes),
            ("--processes-per-node", first.num_processes, node.num_processes),
            ("versions", first.versions, node.versions),
        ):
            if ours != theirs:
                yield (
                    f"the nodes contradict each other: {option} is {ours} on {first}, but {theirs} on "
                    f"{node}; start every node with the same command and versions"
                )
    ranks = [node.node_rank for node in nodes]
    given = {rank for rank in ranks if rank is not None}
    if len(nodes) == first.num_nodes and given and given != set(range(len(nodes))):
        told = ", ".join(f"{node.node_rank} on {node}" for node in nodes)
        yield f"--node-rank must be 0 to {len(nodes) - 1}, each on one node, or on none: it is {told}"
