"""Before the first step: do all processes do the same work, and do they add up right?"""

import zlib
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import nn

from hrdet_cli.engine.distributed.collectives import gather_everywhere
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.norm.back_ends import NormBackEnd
from hrdet_cli.engine.norm.known_answer import known_answer_error
from hrdet_cli.errors import GroupError
from hrdet_cli.runs.plan import Plan
from hrdet_cli.runs.versions import installed_versions
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.keys import is_within
from hrdet_cli.specs.norm import SyncBatchNormSpec
from hrdet_cli.wording import first_few

MAY_DIFFER = (
    "data.num_workers",
    "data.root",
    "data.train",
    "data.val",
    "model.weights",
)
"""Keys that each node may have its own value of: contents are compared instead of paths."""
SAME_VERSIONS = ("hrdet", "torch", "torchvision")
MAX_ERROR = 1e-3
"""Of the known answer, relative; float32 stays below 1e-5, while a wrong weighting is off by 0.1 and more."""

Facts = Mapping[str, str]


def check_group(
    spec: ExperimentSpec, plan: Plan, model: nn.Module, device: torch.device, hosts: Sequence[str]
) -> None:
    """Compare all processes with the first one, and let their norms compute something known.

    Takes well under a second.  In one process there is nothing to check.

    Args:
        spec: The experiment.
        plan: Made from this process's own data.
        model: With its initial weights.
        device: Where this process computes.
        hosts: Name of each process's node, by rank.

    Raises:
        GroupError: Names the processes and what differs.
    """
    if current_world().size == 1:
        return
    facts = dict(_facts(spec, plan, model, device))
    compare_facts(hosts, gather_everywhere(facts, what="comparison of the processes"))
    back_end = spec.norm.back_end if isinstance(spec.norm, SyncBatchNormSpec) else "coalesced"
    check_known_answer(back_end, device)


def check_known_answer(back_end: NormBackEnd, device: torch.device) -> None:
    """Let synchronised norms of unequal shapes compute something that each process can compute by itself.

    Raises:
        GroupError: The result is wrong.
    """
    if back_end == "equal-count":  # wrong on purpose
        return
    error = known_answer_error(back_end=back_end, device=device)
    if not error <= MAX_ERROR:
        raise GroupError(
            f"synchronised norms compute a wrong result over these {current_world().size} processes: the "
            f"relative error is {error:.2g}, not below {MAX_ERROR:g} (norm.back_end {back_end} on "
            f"{device.type}). Training would go wrong without a word; try norm.back_end=coalesced, and "
            "`hrdet doctor` on every node"
        )


def compare_facts(hosts: Sequence[str], facts_by_rank: Sequence[Facts]) -> None:
    """All processes must agree with rank 0 in every fact.

    Raises:
        GroupError: Names each fact that differs, its values and whose they are.
    """
    names = dict.fromkeys(name for facts in facts_by_rank for name in facts)
    problems = []
    for name in names:
        values = [facts.get(name, "not set") for facts in facts_by_rank]
        ranks_by_value: dict[str, list[int]] = {}
        for rank, value in enumerate(values):
            ranks_by_value.setdefault(value, []).append(rank)
        if len(ranks_by_value) > 1:
            told = ", but ".join(
                f"{value} on {_name(ranks, hosts)}" for value, ranks in ranks_by_value.items()
            )
            problems.append(f"{name}: {told}")
    if problems:
        raise GroupError(
            "\n".join(
                ["the processes contradict each other; start all with the same command and data:", *problems]
            )
        )


def _name(ranks: Sequence[int], hosts: Sequence[str]) -> str:
    names = first_few([f"{rank} ({hosts[rank]})" for rank in ranks], 4)
    return f"{'rank' if len(ranks) == 1 else 'ranks'} {names}"


def _facts(
    spec: ExperimentSpec, plan: Plan, model: nn.Module, device: torch.device
) -> Iterator[tuple[str, str]]:
    """Everything that has to be equal for many processes to train as one."""
    versions = installed_versions()
    for package in SAME_VERSIONS:
        yield f"version of {package}", str(versions[package])
    for key, value in spec.values_by_key().items():
        if not is_within(key, MAY_DIFFER):
            yield key, str(value)
    yield "content of the training annotations (SHA-256)", plan.train.fingerprint
    val = "none" if plan.val is None else plan.val.fingerprint
    yield "content of the validation annotations (SHA-256)", val
    yield "initial weights (CRC-32)", f"{weights_checksum(model):08x}"
    yield "device", device_kind(device)


def device_kind(device: torch.device) -> str:
    """What all devices of a group must share.

    GPUs of another generation round otherwise, and the weights would drift apart from rank to rank.
    """
    if device.type != "cuda":
        return "CPU"
    major, minor = torch.cuda.get_device_capability(device)
    return f"GPU of compute capability {major}.{minor}"


def weights_checksum(model: nn.Module) -> int:
    """CRC-32 over all parameters and buffers, in their order."""
    checksum = 0
    for tensor in model.state_dict().values():
        checksum = zlib.crc32(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().data, checksum)
    return checksum
