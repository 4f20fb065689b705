"""What each process has to do in an epoch, next to the others; knows no torch."""

from dataclasses import asdict, dataclass
from typing import Any

from hrdet_cli.engine.benchmarking.epoch_layout import EpochLayout


@dataclass(frozen=True, slots=True)
class RankLoad:
    """An epoch of one process.

    Attributes:
        rank: Which one.
        num_pixels: Of its canvases, in all steps together.
        num_boxes: Of its pictures, as annotated; a picture that is shown twice counts twice.
        most_boxes: Of a batch.
        largest_canvas: ``WIDTHxHEIGHT``.
        num_steps_slowest: Steps in which no other process has more pixels and one has fewer.
    """

    rank: int
    num_pixels: int
    num_boxes: int
    most_boxes: int
    largest_canvas: str
    num_steps_slowest: int

    def to_json(self) -> dict[str, Any]:
        """As plain types."""
        return asdict(self)


def rank_loads(layout: EpochLayout) -> tuple[RankLoad, ...]:
    """An epoch of every process."""
    loads = []
    for rank in range(len(layout.canvases[0])):
        own = [step[rank] for step in layout.canvases]
        boxes = [step[rank] for step in layout.num_boxes]
        pixels = [[canvas.num_pixels for canvas in step] for step in layout.canvases]
        loads.append(
            RankLoad(
                rank=rank,
                num_pixels=layout.num_pictures * sum(canvas.num_pixels for canvas in own),
                num_boxes=sum(boxes),
                most_boxes=max(boxes),
                largest_canvas=str(max(own, key=lambda canvas: canvas.num_pixels)),
                num_steps_slowest=sum(step[rank] == max(step) > min(step) for step in pixels),
            )
        )
    return tuple(loads)
