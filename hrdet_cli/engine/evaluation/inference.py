"""A detector over all pictures of a loader; what it finds goes back to where the pictures came from.

Each process has its share of the pictures, or of their views, where each is looked at in several: scales,
mirrored ones.  What was found in the views of a picture is put together by ``merging.py``, when all of it is
in one place.  All processes go through theirs in rounds of one batch, so that each knows how far all of them
are, and they leave together when one is asked to stop.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hrdet_cli.engine.data.batch import Batch, PictureFault, PictureRecord
from hrdet_cli.engine.data.mask_runs import MaskRuns
from hrdet_cli.engine.distributed.activity import enter_phase
from hrdet_cli.engine.distributed.collectives import gather_to_first, sum_over_processes
from hrdet_cli.engine.evaluation.mask_pasting import MaskPasting
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.evaluation.validation_loss import ValidationLoss
from hrdet_cli.engine.geometry import Window
from hrdet_cli.engine.numerics import Numerics
from hrdet_cli.engine.structures import Detections, ImageBatch

_CUT_PIXELS = 4


class ObjectFinder(Protocol):
    """A module that finds objects, such as ``Detector``."""

    def detect(self, images: ImageBatch) -> Detections:
        """Detections in canvas pixels, on the pictures' device, without gradients."""

    def eval(self) -> object:
        """Switch to evaluation mode."""

    def modules(self) -> Iterator[nn.Module]:
        """The detector and all modules in it."""

    def for_detection(self) -> "ObjectFinder":
        """What finds the same with its present weights, in less time; in evaluation mode."""


class PictureLoader(Protocol):
    """Where the pictures come from, such as ``EvaluationLoader``."""

    @property
    def num_rounds(self) -> int:
        """Number of batches of the process that has most; the same on every process."""

    def batches(self) -> Iterable[Batch]:
        """This process's views of pictures, each once, resized and perhaps flipped."""


@dataclass(frozen=True, slots=True, eq=False)
class DetectionRound:
    """A batch of every process that still had one.

    Attributes:
        pictures: What this process found, in its batch's order; nothing where it had none left.
        broken: Pictures of the batch that could not be read and were left out.
        damaged: JPEGs of the batch whose pixels are damaged.
        num_done: Views finished so far, over all processes, those left out among them.
        stop_asked: Whether any process was asked to stop; the same on every process.
    """

    pictures: Sequence[PictureDetections]
    broken: Sequence[PictureFault]
    damaged: Sequence[PictureFault]
    num_done: int
    stop_asked: bool


def detect_all(
    model: ObjectFinder,
    loader: PictureLoader,
    *,
    device: torch.device,
    numerics: Numerics,
    pasting: MaskPasting | None = None,
    losses: ValidationLoss | None = None,
    stop_asked: Callable[[], bool],
) -> Generator[DetectionRound]:
    """Detect in every picture of a loader, each process in its share.

    The model is in evaluation mode until the iterator is exhausted or closed; then each of its modules is in
    the mode it was in before.

    Args:
        model: On ``device``.
        loader: Gives the pictures.
        device: Where they are looked at; those that are not there are copied.
        numerics: What to compute in.
        pasting: Lays masks over their boxes in the original pictures; None leaves masks out.
        losses: Takes in every batch besides.
        stop_asked: Whether this process was asked to stop; called once a round.

    Yields:
        A value per round, as many on every process. Processes that leave must leave after the same round.
    """
    batches, num_done = iter(loader.batches()), 0
    enter_phase("the evaluation")
    with ready_to_detect(model) as finder:
        for _ in range(loader.num_rounds):
            batch = next(batches, None)
            pictures = (
                []
                if batch is None
                else detect_batch(finder, batch, device=device, numerics=numerics, pasting=pasting)
            )
            if losses is not None and batch is not None:
                losses.add(batch)
            broken, damaged = ((), ()) if batch is None else (batch.broken, batch.damaged)
            # In host memory: nothing waits for a GPU.
            told = torch.tensor([len(pictures) + len(broken), stop_asked()])
            num_new, num_asked = sum_over_processes(told, what="round of the evaluation").tolist()
            num_done += num_new
            yield DetectionRound(pictures, broken, damaged, num_done, stop_asked=num_asked > 0)


@contextmanager
def ready_to_detect(model: ObjectFinder) -> Iterator[ObjectFinder]:
    """What to detect with. Inside, the model is in evaluation mode; then each module is in that it was in."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield model.for_detection()
    finally:
        for module, mode in modes:
            module.training = mode


def gather_pictures(pictures: Sequence[PictureDetections]) -> list[PictureDetections] | None:
    """Bring the detections of all processes to the first.

    Args:
        pictures: This process's share.

    Returns:
        All pictures, or views, by image id on rank 0; None on the others.
    """
    parcels = gather_to_first(_Parcel.of(pictures), what="gathering of the detections")
    if parcels is None:
        return None
    everything = [picture for parcel in parcels for picture in parcel.pictures()]
    return sorted(everything, key=lambda picture: picture.image_id)


def gather_faults(faults: Sequence[PictureFault]) -> list[PictureFault]:
    """Bring what each process has to say of its pictures to the first, by name; none on the others.

    Of several views of a picture one tells what all would.
    """
    parts = gather_to_first(tuple(faults), what="names of broken pictures") or []
    by_name = {fault.file_name: fault for part in parts for fault in part}
    return [by_name[name] for name in sorted(by_name)]


@dataclass(frozen=True, slots=True, eq=False)
class _Parcel:
    """Detections in P pictures with D boxes in all, as a few arrays, which travel better than 4 P tensors.

    Attributes:
        image_ids: ``(P,)`` int64.
        num_boxes: ``(P,)`` int64, adding up to D.
        boxes: ``(D, 4)`` float32, picture by picture; ``scores`` and ``labels`` likewise.
        masks: Of each picture, or None.
        is_cut: ``(D,)`` bool of each picture, or None.
    """

    image_ids: NDArray[np.int64]
    num_boxes: NDArray[np.int64]
    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: tuple[MaskRuns | None, ...]
    is_cut: tuple[NDArray[np.bool_] | None, ...]

    @classmethod
    def of(cls, pictures: Sequence[PictureDetections]) -> "_Parcel":
        no_boxes, no_scores, no_labels = torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
        return cls(
            image_ids=np.array([picture.image_id for picture in pictures], dtype=np.int64),
            num_boxes=np.array([len(picture.boxes) for picture in pictures], dtype=np.int64),
            boxes=torch.cat([no_boxes, *(picture.boxes for picture in pictures)]).numpy(),
            scores=torch.cat([no_scores, *(picture.scores for picture in pictures)]).numpy(),
            labels=torch.cat([no_labels, *(picture.labels for picture in pictures)]).numpy(),
            masks=tuple(picture.masks for picture in pictures),
            is_cut=tuple(None if picture.is_cut is None else picture.is_cut.numpy() for picture in pictures),
        )

    def pictures(self) -> Iterator[PictureDetections]:
        parts = (
            torch.split(torch.from_numpy(rows), self.num_boxes.tolist())
            for rows in (self.boxes, self.scores, self.labels)
        )
        cuts = (None if is_cut is None else torch.from_numpy(is_cut) for is_cut in self.is_cut)
        for picture in zip(self.image_ids.tolist(), *parts, self.masks, cuts, strict=True):
            yield PictureDetections(*picture)


def detect_batch(
    model: ObjectFinder,
    batch: Batch,
    *,
    device: torch.device,
    numerics: Numerics,
    pasting: MaskPasting | None = None,
) -> list[PictureDetections]:
    """Detect in the pictures of one batch, in its order; the arguments are those of `detect_all`."""
    if not len(batch):
        return []
    with numerics.applied(), numerics.forward_pass(device.type):
        detections = model.detect(batch.images.to(device)).cpu()
    return list(_detections_by_picture(detections, batch.records, pasting))


def _detections_by_picture(
    detections: Detections, records: Sequence[PictureRecord], pasting: MaskPasting | None
) -> Iterator[PictureDetections]:
    """Take a batch apart, drop the padding rows and put each view's detections in their picture."""
    for row, record in enumerate(records):
        is_valid = detections.is_valid[row]
        boxes = _in_view(detections.boxes[row, is_valid], record)
        is_cut = None
        if (window := record.window) is not None:
            is_cut = _is_cut(boxes, record, window)
            boxes = boxes + torch.tensor([window.left, window.top] * 2)
        masks = None
        if pasting is not None and detections.masks is not None:
            cells = detections.masks[row, is_valid].float()
            if record.placement.flipped:
                cells = cells.flip(2)
            masks = pasting.paste(cells.numpy(), boxes.numpy(), record.whole)
        yield PictureDetections(
            image_id=record.image_id,
            boxes=boxes,
            scores=detections.scores[row, is_valid].float(),
            labels=detections.labels[row, is_valid],
            masks=masks,
            is_cut=is_cut,
        )


def _in_view(boxes: Tensor, record: PictureRecord) -> Tensor:
    """Undo flip and resize: ``(D, 4)`` float32 in pixels of the picture or tile, clipped to it."""
    if record.placement.flipped:
        x1, y1, x2, y2 = boxes.unbind(dim=1)
        boxes = torch.stack(
            [record.placement.placed.width - x2, y1, record.placement.placed.width - x1, y2], 1
        )
    edges = torch.tensor([record.original.width, record.original.height] * 2)
    fixed = torch.tensor(record.placement.resizing.fixed_corner)
    boxes = (boxes - fixed) / torch.tensor(record.scale_xy * 2) + fixed
    return boxes.clamp(min=torch.zeros(()), max=edges.float()).float()


def _is_cut(boxes: Tensor, record: PictureRecord, window: Window) -> Tensor:
    """``(D,)`` which boxes of a tile end within 4 canvas pixels of an edge where the picture goes on.

    Where a box ends is not known much better than to a cell of the finest level.
    """
    x_reach, y_reach = (_CUT_PIXELS / scale for scale in record.scale_xy)
    x1, y1, x2, y2 = boxes.unbind(dim=1)
    return (
        ((x1 < x_reach) & (window.left > 0))
        | ((y1 < y_reach) & (window.top > 0))
        | ((x2 > window.size.width - x_reach) & (window.right < window.whole.width))
        | ((y2 > window.size.height - y_reach) & (window.bottom < window.whole.height))
    )
