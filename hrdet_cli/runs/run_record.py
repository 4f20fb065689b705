"""What ``run.json`` holds: who started the run when and on what, and what it met in its data."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, Self


@dataclass(frozen=True, slots=True)
class CheckpointCost:
    """What a checkpoint of a run took.

    Attributes:
        seconds: Until it was on the disk.
        num_bytes: Of its file.
    """

    seconds: float
    num_bytes: int


@dataclass(frozen=True, slots=True)
class Ending:
    """How a launch came to its end.

    Attributes:
        how: All was trained, or it was asked to stop, or met an error.
        step: The last one, counted from 1 over the whole run; 0 before the first.
        error: What it met, in words.
    """

    how: Literal["finished", "stopped", "failed"]
    step: int
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run's record; its checkpoints carry a copy.

    Attributes:
        launches: An entry for the start and one for each resume, see `describe_launch`.
        broken_pictures: Why each picture that could not be read was replaced, by its name.
        damaged_pictures: What is damaged in each JPEG that was decoded all the same, by its name.
        slowest_checkpoint: What took longest to be written; None where nobody says.
        ended: How the last launch ended; None while it goes on, and where it was killed.
    """

    launches: tuple[Mapping[str, Any], ...] = ()
    broken_pictures: Mapping[str, str] = field(default_factory=dict)
    damaged_pictures: Mapping[str, str] = field(default_factory=dict)
    slowest_checkpoint: CheckpointCost | None = None
    ended: Ending | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """The record that `text` gave.

        Raises:
            ValueError: The text is none.
        """
        document = json.loads(text)
        launches = document.get("launches") if isinstance(document, dict) else None
        if not isinstance(launches, list) or not all(isinstance(launch, dict) for launch in launches):
            raise ValueError("it has no list of launches")
        return cls(
            tuple(launches),
            _reasons(document, "broken_pictures"),
            _reasons(document, "damaged_pictures"),
            _cost(document.get("slowest_checkpoint")),
            _ending(document.get("ended")),
        )

    def text(self) -> str:
        """The record as JSON; what was not met is not there."""
        document: dict[str, Any] = {"launches": list(self.launches)}
        if self.broken_pictures:
            document["broken_pictures"] = dict(self.broken_pictures)
        if self.damaged_pictures:
            document["damaged_pictures"] = dict(self.damaged_pictures)
        if self.slowest_checkpoint is not None:
            document["slowest_checkpoint"] = asdict(self.slowest_checkpoint)
        if self.ended is not None:
            document["ended"] = asdict(self.ended)
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def with_launch(self, launch: Mapping[str, Any]) -> Self:
        """With one more launch, which goes on."""
        return replace(self, launches=(*self.launches, launch), ended=None)

    def with_ending(self, ending: Ending) -> Self:
        """With how the last launch ended."""
        return replace(self, ended=ending)

    def with_broken_pictures(self, reason_by_name: Mapping[str, str]) -> Self:
        """With more broken pictures; one that is there already keeps its reason."""
        return replace(self, broken_pictures={**reason_by_name, **self.broken_pictures})

    def with_damaged_pictures(self, reason_by_name: Mapping[str, str]) -> Self:
        """With more damaged pictures."""
        return replace(self, damaged_pictures={**self.damaged_pictures, **reason_by_name})

    def with_checkpoint(self, seconds: float, num_bytes: int) -> Self:
        """With the slowest checkpoint so far; itself where another was slower."""
        if self.slowest_checkpoint is not None and self.slowest_checkpoint.seconds >= seconds:
            return self
        return replace(self, slowest_checkpoint=CheckpointCost(seconds, num_bytes))

    def was_begun_by(self, launch_id: str) -> bool:
        """Whether a launch is in the record already."""
        return any(launch.get("launch_id") == launch_id for launch in self.launches)

    def data_fingerprint(self, part: str) -> str | None:
        """Of the annotations of ``train`` or ``val`` that were used last; None where nobody says."""
        launches = reversed(self.launches)
        fingerprints = (launch.get("data_fingerprints", {}).get(part) for launch in launches)
        return next((str(found) for found in fingerprints if found is not None), None)

    def warmup_steps(self) -> int | None:
        """Steps of the warm-up in the plan of the last launch; None where nobody says."""
        found = self.launches[-1].get("plan", {}).get("warmup_steps") if self.launches else None
        return found if type(found) is int else None

    def told_notes(self) -> frozenset[str]:
        """Texts of the notes that the last launch told, or did not repeat."""
        notes = self.launches[-1].get("plan", {}).get("notes", ()) if self.launches else ()
        return frozenset(str(note.get("text")) for note in notes if isinstance(note, dict))

    def class_names(self) -> tuple[str, ...] | None:
        """Of the data that the run began with; None where nobody says."""
        found = self.launches[0].get("plan", {}).get("class_names") if self.launches else None
        return tuple(map(str, found)) if isinstance(found, list) else None

    def data_counts(self, part: str) -> tuple[int, int] | None:
        """Pictures and boxes that the run began with in ``train`` or ``val``; None where nobody says."""
        return counts_of(self.launches[0], part) if self.launches else None


def counts_of(launch: Mapping[str, Any], part: str) -> tuple[int, int] | None:
    """Pictures and boxes in the ``train`` or ``val`` of a launch; None where nobody says."""
    counts = launch.get("plan", {}).get(part) or {}
    num_pictures, num_boxes = counts.get("num_pictures"), counts.get("num_boxes")
    if isinstance(num_pictures, int) and isinstance(num_boxes, int):
        return num_pictures, num_boxes
    return None


def _cost(document: object) -> CheckpointCost | None:
    match document:
        case None:
            return None
        case {"seconds": float(seconds), "num_bytes": int(num_bytes)}:
            return CheckpointCost(seconds, num_bytes)
    raise ValueError("its slowest_checkpoint has no seconds and num_bytes")


def _ending(document: object) -> Ending | None:
    match document:
        case None:
            return None
        case {
            "how": "finished" | "stopped" | "failed" as how,
            "step": int(step),
            "error": str() | None as error,
        }:
            return Ending(how, step, error)
    raise ValueError("its ended does not say how, and after which step")


def _reasons(document: Mapping[str, Any], key: str) -> dict[str, str]:
    """What is wrong with pictures, by their names."""
    found = document.get(key, {})
    if not isinstance(found, dict):
        raise ValueError(f"its {key} are no mapping")
    return {str(name): str(reason) for name, reason in found.items()}
