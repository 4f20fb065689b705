"""How long a run takes, as far as that is known."""

from dataclasses import asdict, dataclass
from enum import IntEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class RunTime:
    """What the steps of a run take.

    Attributes:
        seconds: Of all of them. Evaluations and checkpoints are not counted.
        basis: How that is known, in words.
        is_most: Whether they take no longer: it is known of the largest one alone.
    """

    seconds: float
    basis: str
    is_most: bool = False

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return asdict(self)


class Kind(IntEnum):
    """What was measured; what tells more is higher."""

    LARGEST_STEP = 0
    COMPARISON = 1
    STEPS_OF_A_RUN = 2


@dataclass(frozen=True, slots=True)
class KnownTime:
    """A run's time by one record.

    Attributes:
        time: By this record.
        kind: What it is a record of.
        host: The machine that it was made on.
        when: In ISO 8601, by UTC.
    """

    time: RunTime
    kind: Kind
    host: str
    when: str
