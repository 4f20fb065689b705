"""Options of commands that run in several processes, and what they mean together."""

from dataclasses import dataclass
from typing import Annotated

import typer

from hrdet_cli.engine.distributed.environment import DEFAULT_PORT as DEFAULT_PORT
from hrdet_cli.engine.distributed.environment import DEFAULT_TIMEOUT_SECONDS as DEFAULT_TIMEOUT_SECONDS
from hrdet_cli.errors import SpecError

PANEL = "Processes and nodes"

NodesOption = Annotated[
    int | None,
    typer.Option(
        "--nodes", metavar="N", min=1, help="Machines; run the same line on each.", rich_help_panel=PANEL
    ),
]
MasterAddrOption = Annotated[
    str | None,
    typer.Option(
        "--master-addr", metavar="HOST", help="Name or address of one of them.", rich_help_panel=PANEL
    ),
]
MasterPortOption = Annotated[
    int,
    typer.Option(
        "--master-port", metavar="PORT", min=1, max=65535, help="Free on that machine.", rich_help_panel=PANEL
    ),
]
NodeRankOption = Annotated[
    int | None,
    typer.Option(
        "--node-rank",
        metavar="N",
        min=0,
        help="This machine's place; without it the one with the master address is the first.",
        rich_help_panel=PANEL,
    ),
]
ProcessesOption = Annotated[
    int | None,
    typer.Option(
        "--processes-per-node",
        metavar="N",
        min=1,
        help="Default one for each GPU, or one.",
        rich_help_panel=PANEL,
    ),
]
RestartsOption = Annotated[
    int,
    typer.Option(
        "--max-restarts",
        metavar="N",
        min=0,
        help="Go on from the last checkpoint so often after a process or machine was lost.",
        rich_help_panel=PANEL,
    ),
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        "--timeout-seconds",
        metavar="SECONDS",
        min=1,
        help="For machines to come, and for one exchange between processes.",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True, slots=True)
class ProcessOptions:
    """What the user said about processes; None where nothing."""

    nodes: int | None
    master_addr: str | None
    master_port: int
    node_rank: int | None
    processes_per_node: int | None
    max_restarts: int
    timeout_seconds: float

    def check(self) -> None:
        """The options must fit each other.

        Raises:
            SpecError: They do not.
        """
        nodes = self.nodes or 1
        if nodes > 1 and self.master_addr is None:
            raise SpecError([f"--nodes {nodes}: needs --master-addr, the address of one of the machines"])
        if self.node_rank is not None and self.node_rank >= nodes:
            raise SpecError([f"--node-rank {self.node_rank}: must be below --nodes, which is {nodes}"])
        if self.master_addr is not None and self.nodes is None:
            raise SpecError(["--master-addr: needs --nodes, the number of machines"])

    def refuse_for_members(self, launcher: str) -> None:
        """Options of hrdet's own launching have no effect where somebody else launches.

        Raises:
            SpecError: One was given.
        """
        given = [("--max-restarts", self.max_restarts > 0), ("--node-rank", self.node_rank is not None)]
        problems = [
            f"{option}: {launcher} has started the processes, so this is for {launcher} to do; leave it away"
            for option, is_given in given
            if is_given
        ]
        if problems:
            raise SpecError(problems)
