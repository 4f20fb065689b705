"""A trained detector that looks at pictures without annotations, one after the other."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import TypeVar

import torch

from hrdet_cli.engine.data.padding import SmallestCanvas
from hrdet_cli.engine.data.unlabelled import UnlabelledPicture, UnlabelledView, Viewing, batch_of
from hrdet_cli.engine.evaluation.inference import ObjectFinder, detect_batch, ready_to_detect
from hrdet_cli.engine.evaluation.mask_pasting import MaskPasting
from hrdet_cli.engine.evaluation.merging import ViewMerging
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.runs.build.loaders import build_merging, build_ways
from hrdet_cli.runs.build.masks import build_mask_pasting
from hrdet_cli.runs.build.numerics import build_numerics
from hrdet_cli.runs.lack_of_memory import lack_told, less_to_look_at
from hrdet_cli.runs.predict.document import FailedPicture
from hrdet_cli.runs.predict.reading import read_views
from hrdet_cli.runs.tiles import build_tiling
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.wording import counted

Item = TypeVar("Item")

_PADDING = SmallestCanvas()


@dataclass(frozen=True, slots=True, eq=False)
class SeenPicture:
    """A picture all of whose views were looked at, and what was found in it, of any score."""

    picture: UnlabelledPicture
    detections: PictureDetections


@dataclass(frozen=True, slots=True, eq=False)
class SeenGroup:
    """Views that were detected in at once.

    Attributes:
        finished: The pictures whose last views were among them.
        num_views_seen: Of the picture of the last view, so far; 0 where that is finished.
        num_views: That it has in all.
    """

    finished: tuple[SeenPicture, ...]
    num_views_seen: int
    num_views: int


@dataclass(frozen=True, slots=True, eq=False)
class PictureDetector:
    """A detector on its device, and how it looks at pictures.

    Attributes:
        detector: In any mode.
        device: Where it is.
        numerics: What to compute in.
        pasting: Lays masks over their boxes; None leaves masks out.
        viewing: The ways in which pictures are looked at.
        merging: Makes one set of detections of those in a picture's views.
        batch_size: Most views that are detected in at once.
        num_threads: That read pictures ahead.
        takes_less: What takes less memory, in words.
    """

    detector: Detector
    device: torch.device
    numerics: Numerics
    pasting: MaskPasting | None
    viewing: Viewing
    merging: ViewMerging
    batch_size: int
    num_threads: int
    takes_less: str

    def look_at(
        self,
        inputs: Iterable[Item],
        read: Callable[[Item], UnlabelledPicture | FailedPicture],
        *,
        failed: list[FailedPicture],
        stop_asked: Callable[[], bool],
    ) -> Generator[SeenGroup]:
        """Read pictures, and detect in those that need one canvas at once.

        What is found in a picture depends on no other. They do not come in the order of the inputs.

        Args:
            inputs: Taken one by one.
            read: Reads one, in any thread.
            failed: Gets what cannot be read.
            stop_asked: Asked before each group.

        Raises:
            OutOfMemoryError: A group does not fit into memory; while iterating.
        """
        found: dict[int, list[PictureDetections]] = {}  # in pictures of which some views are still to come
        groups = read_views(
            inputs,
            read,
            failed,
            viewing=self.viewing,
            padding=_PADDING,
            num_threads=self.num_threads,
            batch_size=self.batch_size,
        )
        with (
            lack_told(lambda: f"pictures do not fit into memory as they are read; take {self.takes_less}"),
            ready_to_detect(self.detector) as finder,
            closing(groups),
        ):
            wanted = takewhile(lambda _: not stop_asked(), groups)
            yield from map(partial(self._look_at_group, finder, found), wanted)  # no name keeps a picture

    def _look_at_group(
        self, finder: ObjectFinder, found: dict[int, list[PictureDetections]], group: Sequence[UnlabelledView]
    ) -> SeenGroup:
        finished = []
        for view, detections in zip(group, self._detect(finder, group), strict=True):
            picture = view.picture
            views = found.setdefault(picture.number, [])
            views.append(detections)
            if len(views) == view.num_views:
                finished.append(SeenPicture(picture, self.merging.merge(found.pop(picture.number))))
        last = group[-1]
        return SeenGroup(tuple(finished), len(found.get(last.picture.number, ())), last.num_views)

    def _detect(self, finder: ObjectFinder, group: Sequence[UnlabelledView]) -> list[PictureDetections]:
        batch = batch_of(group, _PADDING)
        views = counted(len(batch), "picture on a canvas", "pictures on a canvas")
        fit = "does not fit" if len(batch) == 1 else "do not fit"
        place = "the GPU's memory" if self.device.type == "cuda" else "memory"
        with lack_told(
            lambda: f"{views} of {batch.images.canvas} {fit} into {place}; take {self.takes_less}"
        ):
            return detect_batch(
                finder, batch, device=self.device, numerics=self.numerics, pasting=self.pasting
            )


def build_picture_detector(
    detector: Detector, spec: ExperimentSpec, device: torch.device, *, batch_size: int | None = None
) -> PictureDetector:
    """A detector that looks at pictures as an evaluation of its spec does.

    Args:
        detector: On ``device``.
        spec: How to evaluate.
        device: Where to compute.
        batch_size: Most views at once; None takes the spec's.
    """
    batch_size = batch_size or spec.evaluation.batch_size
    return PictureDetector(
        detector,
        device,
        build_numerics(spec.run, device),
        build_mask_pasting(spec.model),
        Viewing(build_ways(spec), build_tiling(spec.data)),
        build_merging(spec),
        batch_size,
        max(1, spec.data.num_workers),
        less_to_look_at(spec.evaluation, batch_size=batch_size, fewer="a batch size of 1"),
    )
