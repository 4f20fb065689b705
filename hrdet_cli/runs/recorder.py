"""What takes in what a run measures, line by line."""

from collections.abc import Mapping
from typing import Any, Protocol


class Recorder(Protocol):
    """Has the lines of a run: ``metrics.jsonl`` is one, and all trackers together are another."""

    def append(self, line: Mapping[str, Any]) -> None:
        """Take in a line of a step or an evaluation: what ``metrics.jsonl`` has."""

    def close(self) -> None:
        """No line comes any more."""
