"""What a live group finds out about itself: who is in it, whether it computes right, how fast it is."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch

from hrdet_cli.engine.distributed.collectives import gather_everywhere
from hrdet_cli.engine.distributed.diagnostics import CollectiveTiming, measure_collectives
from hrdet_cli.engine.distributed.world import current_world
from hrdet_cli.engine.norm.known_answer import known_answer_error
from hrdet_cli.runs.doctor.devices import describe_device
from hrdet_cli.runs.doctor.finding import Finding, Status, has_problem
from hrdet_cli.runs.group_check import MAX_ERROR, SAME_VERSIONS, device_kind
from hrdet_cli.runs.versions import installed_versions

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Member:
    """One process of the group.

    Attributes:
        rank: Its number over all nodes.
        host: Name of its node.
        device: What it computes on, in words.
        device_kind: What of it all members must share.
        versions: Version by package; None for one that is missing.
        findings: What is not ok on its machine.
    """

    rank: int
    host: str
    device: str
    device_kind: str
    versions: Mapping[str, str | None]
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class GroupExamination:
    """What is known of a group; the same on every process.

    Attributes:
        members: By rank.
        findings: About the group, then what is not ok on each of its machines.
        collectives: Time of exchanges by message size; empty for a group of one.
    """

    members: tuple[Member, ...]
    findings: tuple[Finding, ...]
    collectives: tuple[CollectiveTiming, ...]

    @property
    def has_problem(self) -> bool:
        """Whether something would stop a run."""
        return has_problem(self.findings)

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return {
            "members": [
                {"rank": one.rank, "host": one.host, "device": one.device, "versions": dict(one.versions)}
                for one in self.members
            ],
            "findings": [asdict(finding) for finding in self.findings],
            "collectives": [
                {**asdict(timing), "gigabytes_per_second": timing.gigabytes_per_second}
                for timing in self.collectives
            ],
        }


def examine_group(
    device: torch.device, *, machine: tuple[Finding, ...], hosts: Sequence[str]
) -> GroupExamination:
    """Compare the processes of the live group, and check and time what they exchange.

    Every process must call it.

    Args:
        device: Of this process.
        machine: What ``examine_machine`` found here; what is not ok is passed on to all.
        hosts: Name of each process's node, by rank.

    Raises:
        LostProcessError: A process is gone.
    """
    rank = current_world().rank
    own = Member(
        rank=rank,
        host=hosts[rank],
        device=describe_device(device),
        device_kind=device_kind(device),
        versions=installed_versions(),
        findings=tuple(finding for finding in machine if finding.status != "ok"),
    )
    members = tuple(gather_everywhere(own, what="exchange of versions"))
    error = known_answer_error(back_end="coalesced", device=device)
    findings = [
        *compare_members(members),
        judge_known_answer(members, gather_everywhere(error, what="exchange of known-answer errors")),
        *collect_machine_findings(members),
    ]
    return GroupExamination(members, tuple(findings), measure_collectives(device))


def compare_members(members: tuple[Member, ...]) -> list[Finding]:
    """Versions and devices: one finding for each that differs, or one that says they agree."""
    findings = []
    for package in members[0].versions:
        found = _members_by_value((member.versions.get(package) or "missing", member) for member in members)
        if len(found) > 1:
            status: Status = "problem" if package in SAME_VERSIONS else "note"
            remedy = f"install the same version of {package} on every node"
            findings.append(Finding(package, _describe(found), status, remedy))
    if not findings:
        findings.append(Finding("versions", "the same on all ranks"))
    devices = _members_by_value((member.device_kind, member) for member in members)
    if len(devices) > 1:
        remedy = (
            "training refuses a mixed group: use nodes with GPUs of one generation, or choose among a node's "
            "GPUs with CUDA_VISIBLE_DEVICES"
        )
        findings.append(Finding("devices", _describe(devices), "problem", remedy))
    else:
        findings.append(Finding("devices", f"{members[0].device_kind} on all ranks"))
    return findings


def collect_machine_findings(members: tuple[Member, ...]) -> list[Finding]:
    """What is not ok on the members' machines, each once, with those it was found on."""
    found = _members_by_value((finding, member) for member in members for finding in member.findings)
    return [
        Finding(finding.name, f"{_name(on)}: {finding.value}", finding.status, finding.remedy)
        for finding, on in found.items()
    ]


def judge_known_answer(members: Sequence[Member], errors: Sequence[float]) -> Finding:
    """Whether synchronised norms of unequal sizes were right on every rank.

    Args:
        members: By rank.
        errors: Relative, by rank; not a number counts as wrong.
    """
    wrong = [member for member, error in zip(members, errors, strict=True) if not error <= MAX_ERROR]
    if not wrong:
        value = f"right for unequal sizes: largest relative error {max(errors):.1e}"
        return Finding("SyncBN known answer", value)
    largest = max(errors[member.rank] for member in wrong)
    value = f"wrong by {largest:.2g}, relative, on {_name(wrong)}"
    remedy = (
        "what arrives is not what was sent, or sums are wrong: see whether the versions differ, try another "
        "network interface (NCCL_SOCKET_IFNAME, GLOO_SOCKET_IFNAME), NCCL_P2P_DISABLE=1 or NCCL_IB_DISABLE=1"
    )
    return Finding("SyncBN known answer", value, "problem", remedy)


def _members_by_value(pairs: Iterable[tuple[Value, Member]]) -> dict[Value, list[Member]]:
    found: dict[Value, list[Member]] = defaultdict(list)
    for value, member in pairs:
        found[value].append(member)
    return found


def _describe(found: Mapping[str, list[Member]]) -> str:
    return "; ".join(f"{value} on {_name(members)}" for value, members in found.items())


def _name(members: Sequence[Member]) -> str:
    """Ranks by host: ``ranks 0, 1 (node-a) and rank 2 (node-b)``."""
    ranks: dict[str, list[str]] = defaultdict(list)
    for member in members:
        ranks[member.host].append(str(member.rank))
    return " and ".join(
        f"rank{'s' if len(some) > 1 else ''} {', '.join(some)} ({host})" for host, some in ranks.items()
    )
