"""What ``run.json`` holds: who started the run when and on what, and what it met in its data."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run's record; its checkpoints carry a copy.

    Attributes:
        launches: An entry for the start and one for each resume, see `runs.record.describe_launch`.
        broken_pictures: Why each picture that could not be read was replaced, by its name.
    """

    launches: tuple[Mapping[str, Any], ...] = ()
    broken_pictures: Mapping[str, str] = field(default_factory=dict)

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
        broken = document.get("broken_pictures", {})
        if not isinstance(broken, dict):
            raise ValueError("its broken_pictures are no mapping")
        return cls(tuple(launches), {str(name): str(reason) for name, reason in broken.items()})

    def text(self) -> str:
        """The record as JSON; ``broken_pictures`` is only there where there are some."""
        document: dict[str, Any] = {"launches": list(self.launches)}
        if self.broken_pictures:
            document["broken_pictures"] = dict(self.broken_pictures)
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def with_launch(self, launch: Mapping[str, Any]) -> Self:
        """With one more launch."""
        return replace(self, launches=(*self.launches, launch))

    def with_broken_pictures(self, reason_by_name: Mapping[str, str]) -> Self:
        """With more broken pictures; one that is there already keeps its reason."""
        return replace(self, broken_pictures={**reason_by_name, **self.broken_pictures})

    def was_begun_by(self, launch_id: str) -> bool:
        """Whether a launch is in the record already."""
        return any(launch.get("launch_id") == launch_id for launch in self.launches)

    def data_fingerprint(self, part: str) -> str | None:
        """Of the annotations of ``train`` or ``val`` that the run began with; None where nobody says."""
        if not self.launches:
            return None
        found = self.launches[0].get("data_fingerprints", {}).get(part)
        return None if found is None else str(found)
