"""One line of an examination."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "problem"]
"""A note may slow a run down or be what was meant; a problem stops it, now or later."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at and found.

    Attributes:
        name: What was looked at.
        value: What it is.
        status: Whether something has to be done.
        remedy: What to do; None only where nothing has to be done.
    """

    name: str
    value: str
    status: Status = "ok"
    remedy: str | None = None


def has_problem(findings: tuple[Finding, ...]) -> bool:
    """Whether a run would be stopped by one of them."""
    return any(finding.status == "problem" for finding in findings)


def format_bytes(count: int) -> str:
    """A number of bytes for people, such as ``64 MiB`` and ``1.5 GiB``."""
    if count < 2**30:
        return f"{count / 2**20:.0f} MiB"
    gibibytes = count / 2**30
    return f"{gibibytes:.1f} GiB" if gibibytes < 10 else f"{gibibytes:.0f} GiB"
