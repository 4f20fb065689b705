"""Which nodes a launcher of nodes started this command on, read from the variables that it sets.

Such a launcher starts one command on each node and leaves the processes of a node to that command, unlike
those of :mod:`.environment`, which start every process.  Sources of the variables' meaning:

* SkyPilot: https://docs.skypilot.co/en/latest/running-jobs/environment-variables.html
* Kubeflow's TrainJob: ``pkg/runtime/framework/plugins/torch`` of github.com/kubeflow/trainer, which sets
  torchrun's options as variables (https://docs.pytorch.org/docs/stable/elastic/run.html).
"""

from collections.abc import Mapping
from dataclasses import dataclass

from hrdet_cli.errors import GroupError


@dataclass(frozen=True, kw_only=True, slots=True)
class NodePlace:
    """This node's place among those that a launcher started the command on.

    Attributes:
        num_nodes: At least 2.
        node_rank: 0 .. num_nodes - 1.
        master_address: Of node 0.
        master_port: Free on node 0; None where the launcher names none.
    """

    num_nodes: int
    node_rank: int
    master_address: str
    master_port: int | None


def detect_nodes(environ: Mapping[str, str]) -> NodePlace | None:
    """The nodes that the variables tell of; None where there is one node, or no launcher of nodes.

    Args:
        environ: The environment variables.

    Raises:
        GroupError: The variables are incomplete or contradict each other.
    """
    if environ.get("SKYPILOT_NODE_IPS"):
        return _of_skypilot(environ)
    if environ.get("PET_NNODES"):
        return _of_train_job(environ)
    return None


def _of_skypilot(environ: Mapping[str, str]) -> NodePlace | None:
    addresses = environ["SKYPILOT_NODE_IPS"].split()
    return _place(
        num_nodes=len(addresses),
        node_rank=_number(environ, "SKYPILOT_NODE_RANK", sign="SKYPILOT_NODE_IPS"),
        master_address=addresses[0],
        master_port=None,
        sign="SKYPILOT_NODE_IPS",
    )


def _of_train_job(environ: Mapping[str, str]) -> NodePlace | None:
    num_nodes = _number(environ, "PET_NNODES", sign="PET_NNODES")
    if num_nodes == 1:
        return None
    address = environ.get("PET_MASTER_ADDR", "").strip()
    if not address:
        raise _wrong("PET_NNODES", str(num_nodes), "but PET_MASTER_ADDR is not set")
    return _place(
        num_nodes=num_nodes,
        node_rank=_number(environ, "PET_NODE_RANK", sign="PET_NNODES"),
        master_address=address,
        master_port=_number(environ, "PET_MASTER_PORT", sign="PET_NNODES"),
        sign="PET_NNODES",
    )


def _place(
    *, num_nodes: int, node_rank: int, master_address: str, master_port: int | None, sign: str
) -> NodePlace | None:
    if node_rank >= num_nodes:
        raise GroupError(
            f"the environment variable {sign} tells of {num_nodes} nodes, but the rank of this one is "
            f"{node_rank}, and ranks count from 0; {_remedy(sign)}"
        )
    if num_nodes == 1:
        return None
    return NodePlace(
        num_nodes=num_nodes, node_rank=node_rank, master_address=master_address, master_port=master_port
    )


def _number(environ: Mapping[str, str], name: str, *, sign: str) -> int:
    text = environ.get(name, "").strip()
    if not text:
        raise _wrong(sign, environ[sign], f"but {name} is not set")
    if not (text.isascii() and text.isdigit()):
        raise _wrong(name, text, "which is not a number", sign=sign)
    return int(text)


def _wrong(name: str, value: str, what: str, *, sign: str | None = None) -> GroupError:
    shown = " ".join(value.split())
    return GroupError(f"the environment variable {name} is '{shown}', {what}; {_remedy(sign or name)}")


def _remedy(sign: str) -> str:
    return f"give --nodes, --master-addr and --node-rank, or unset {sign} to run on this node alone"
