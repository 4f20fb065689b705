"""Findings about a machine or a group as tables."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hrdet_cli.cli.display.console import plain_table
from hrdet_cli.engine.distributed.diagnostics import CollectiveTiming
from hrdet_cli.runs.doctor.finding import Finding

if TYPE_CHECKING:  # a machine alone is examined without the experiment's code
    from hrdet_cli.runs.doctor.group import GroupExamination, Member

_STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


def draw_findings(findings: Sequence[Finding]) -> RenderableType:
    """A line for each finding, its remedy below it, and a count at the end."""
    table = plain_table()
    for heading in ("", "what", "found"):
        table.add_column(heading, overflow="fold", no_wrap=heading != "found")
    for finding in findings:
        style = _STYLES[finding.status]
        found = Text(finding.value)
        if finding.remedy is not None:
            found.append(f"\n-> {finding.remedy}", style="yellow" if finding.status == "note" else "red")
        table.add_row(Text(finding.status, style=style), Text(finding.name, style="bold"), found)
    return Group(table, Text(), _verdict(findings))


def draw_group(examination: "GroupExamination") -> RenderableType:
    """The members, the findings and the times of messages."""
    parts: list[RenderableType] = [_draw_members(examination.members), Text()]
    if examination.collectives:
        parts += [_draw_timings(examination.collectives), Text()]
    return Group(*parts, draw_findings(examination.findings))


def _draw_members(members: "Sequence[Member]") -> Table:
    table = plain_table()
    table.add_column("rank", justify="right")
    for heading in ("host", "device", "hrdet", "torch"):
        table.add_column(heading, overflow="fold")
    for member in members:
        versions = [member.versions.get(package) or "missing" for package in ("hrdet", "torch")]
        table.add_row(str(member.rank), member.host, member.device, *versions)
    return table


def _draw_timings(timings: Sequence[CollectiveTiming]) -> Table:
    table = plain_table()
    for heading in ("all-reduce", "median", "bandwidth"):
        table.add_column(heading, justify="right")
    for timing in timings:
        table.add_row(
            _format_size(timing.num_bytes),
            _format_seconds(timing.median_seconds),
            f"{timing.gigabytes_per_second:.3f} GB/s",
        )
    return table


def _format_size(num_bytes: int) -> str:
    return f"{num_bytes // 2**20} MiB" if num_bytes >= 2**20 else f"{num_bytes // 2**10} KiB"


def _format_seconds(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.0f} us"


def _verdict(findings: Sequence[Finding]) -> Text:
    counts = [
        f"{count} {status}{'s' if count > 1 else ''}"
        for status in ("problem", "note")
        if (count := sum(finding.status == status for finding in findings))
    ]
    return Text(", ".join(counts) if counts else "nothing to mend", style="bold")
