"""What a detector scores, and what is said of it."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hrdet_cli.engine.data.batch import PictureFault
from hrdet_cli.engine.evaluation.coco_metrics import CocoMetrics
from hrdet_cli.runs.origin import MADE_FROM, Origin
from hrdet_cli.wording import counted


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a detector scores; the same on every process.

    Attributes:
        files: metrics.json, detections.json and the pictures.
        broken: Pictures that could not be read and do not count.
        damaged: JPEGs with damaged pixels, which count as they were decoded.
        losses: Means over the pictures, by name; none where they were not asked for.
        nothing: That nothing was found in any picture, and why, in words; None where something was.
    """

    origin: Origin
    metrics: CocoMetrics
    files: tuple[Path, ...]
    broken: tuple[PictureFault, ...] = ()
    damaged: tuple[PictureFault, ...] = ()
    losses: Mapping[str, float] = field(default_factory=dict)
    nothing: str | None = None

    @property
    def loss(self) -> float | None:
        """Sum of the losses; None where there are none, or where it is not finite."""
        loss = sum(self.losses.values())
        return loss if self.losses and math.isfinite(loss) else None

    def notices(self) -> Iterator[str]:
        """What the user should be told of the pictures, and of what was found in them."""
        if self.nothing is not None:
            yield self.nothing
        if self.broken:
            yield (
                f"scored without {counted(len(self.broken), 'picture')} that cannot be read, on the other "
                f"{self.origin.num_pictures - len(self.broken):,}; the first: {self.broken[0].reason} "
                "hrdet check-data names all"
            )
        if self.damaged:
            first = self.damaged[0]
            yield (
                f"damaged JPEG data in {counted(len(self.damaged), 'picture')}, scored as far as decoded; "
                f"the first: {first.file_name} ({first.reason}); hrdet check-data names all"
            )
        if self.metrics.num_without_mask:
            yield (
                f"{counted(self.metrics.num_without_mask, 'object')} of {self.origin.title} without a "
                "mask, scored by boxes alone"
            )

    def to_json(self) -> dict[str, Any]:
        """What ``metrics.json`` holds; broken and damaged pictures where there are some."""
        kinds = {"broken_pictures": self.broken, "damaged_pictures": self.damaged}
        faults = {
            kind: {fault.file_name: fault.reason for fault in faults}
            for kind, faults in kinds.items()
            if faults
        }
        return {MADE_FROM: self.origin.to_json(), **faults, **self.losses_to_json(), **self.metrics.to_json()}

    def losses_to_json(self) -> dict[str, Any]:
        """``loss`` and its parts ``losses``, null where not finite; nothing where they were not asked for."""
        parts = {name: value if math.isfinite(value) else None for name, value in self.losses.items()}
        return {"loss": self.loss, "losses": parts} if parts else {}
