"""What was found in one picture, as a script gets it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from hrdet_cli.api.masks import Masks
from hrdet_cli.api.pictures import Picture, numbered, read_given_picture
from hrdet_cli.engine.data.mask_runs import MaskRuns
from hrdet_cli.engine.evaluation.coco_results import CocoResult, DetectionTable
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.visualisation.predictions import draw_predictions
from hrdet_cli.errors import DataError, HrdetError
from hrdet_cli.extras import install_command

if TYPE_CHECKING:
    import supervision


@dataclass(frozen=True, slots=True, eq=False)
class Detection:
    """One object that was found.

    Attributes:
        box: x1, y1, x2, y2 in pixels of the picture.
        score: In [0, 1].
        label: Number of its class, 0 .. K-1.
        name: Name of its class.
        mask: ``(H, W)`` bool, True inside; None where boxes alone were looked for.
    """

    box: tuple[float, float, float, float]
    score: float
    label: int
    name: str
    mask: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The D objects that were found in a picture, the best first.

    ``len(found)`` is D; ``found[0]`` is one `Detection`, and a loop goes over all. ``found[:5]``,
    ``found[found.scores > 0.5]`` and ``found[found.labels == 2]`` are `Detections` again.

    Attributes:
        boxes: ``(D, 4)`` float32, x1, y1, x2, y2 in pixels of the picture as one sees it: pixel i covers i to
            i + 1, so a box's width is x2 - x1. Clipped to the picture.
        scores: ``(D,)`` float32 in [0, 1], descending.
        labels: ``(D,)`` int64 in 0 .. K-1.
        masks: Of the D objects; None where boxes alone were looked for.
        class_names: Name of each of the K labels.
        category_ids: Id of each of the K labels in COCO's formats: that of the training data, or else the
            label + 1.
        height: Of the picture in pixels, turned as its EXIF says.
        width: Likewise.
        picture: What messages call the picture: its path, or its number among those that were given.
        damage: What is damaged in a JPEG that was decoded all the same; None for a sound picture.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: Masks | None
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    height: int
    width: int
    picture: str
    damage: str | None = None

    def __len__(self) -> int:
        """D."""
        return len(self.scores)

    @overload
    def __getitem__(self, rows: int) -> Detection: ...

    @overload
    def __getitem__(self, rows: slice | Sequence[int] | NDArray[Any]) -> "Detections": ...

    def __getitem__(self, rows: int | slice | Sequence[int] | NDArray[Any]) -> "Detection | Detections":
        """One detection, or those of a slice, of row numbers, or of ``(D,)`` bools."""
        if isinstance(rows, int | np.integer):
            return self._one(int(rows))
        kept = np.arange(len(self))[rows]
        return replace(
            self,
            boxes=self.boxes[kept],
            scores=self.scores[kept],
            labels=self.labels[kept],
            masks=None if self.masks is None else self.masks.take(kept.tolist()),
        )

    def __iter__(self) -> Iterator[Detection]:
        """Each detection, the best first."""
        return map(self._one, range(len(self)))

    def __repr__(self) -> str:
        counts = np.bincount(self.labels, minlength=len(self.class_names)).tolist()
        parts = ", ".join(
            f"{count} {name}" for count, name in zip(counts, self.class_names, strict=True) if count
        )
        return f"<{len(self)} detections in {self.picture}{f': {parts}' if parts else ''}>"

    @property
    def names(self) -> tuple[str, ...]:
        """D names: that of each object's class."""
        return tuple(self.class_names[label] for label in self.labels.tolist())

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """COCO's results format, as `hrdet predict` writes it: what ``COCO.loadRes`` takes.

        Args:
            image_id: The picture's id in the annotations.

        Returns:
            For each object ``image_id``, ``category_id``, ``bbox`` (x, y, width and height, to a thousandth
            of a pixel), ``score``, and ``segmentation`` where there are masks.
        """
        found = PictureDetections(
            image_id=image_id,
            boxes=torch.from_numpy(self.boxes),
            scores=torch.from_numpy(self.scores),
            labels=torch.from_numpy(self.labels),
        )
        results = DetectionTable.of([found]).results(self.category_ids)
        masks = [None] * len(self) if self.masks is None else self.masks.to_coco()
        return [_as_dict(result, mask) for result, mask in zip(results, masks, strict=True)]

    def to_supervision(self) -> "supervision.Detections":
        """The same for the package ``supervision``, with the names as ``data["class_name"]``.

        Returns:
            ``xyxy``, ``confidence``, ``class_id``, and ``mask`` (``(D, H, W)`` bool) where there are masks.

        Raises:
            HrdetError: The package is not installed; the message has the line that installs it.
        """
        try:
            from supervision import Detections as OfSupervision
        except ImportError as error:
            raise HrdetError(
                f"supervision is not installed; install it with: {install_command('supervision')}"
            ) from error
        return OfSupervision(
            xyxy=self.boxes.copy(),
            mask=None if self.masks is None else self.masks.stack(),
            confidence=self.scores.copy(),
            class_id=self.labels.copy(),
            data={"class_name": np.array(self.names, dtype=np.str_)},
        )

    def draw(self, picture: Picture) -> Image.Image:
        """Draw them over their picture as `hrdet predict` does: boxes with class and score, and masks.

        Args:
            picture: The picture that they are of, in any of the forms that `Predictor.predict` takes.

        Returns:
            An RGB picture; one of less than 480 pixels is enlarged by a whole number.

        Raises:
            DataError: The picture cannot be read, or is of another size.
        """
        (given,) = numbered([picture])
        size = Size(self.height, self.width)
        pixels, _ = read_given_picture(given, max_pixels=size.num_pixels)
        if (found := Size(*pixels.shape[1:])) != size:
            raise DataError(f"{given.name} is {found}, and the picture that these were found in {size}")
        return draw_predictions(
            pixels.permute(1, 2, 0).numpy(),
            boxes=self.boxes,
            labels=self.labels,
            scores=self.scores,
            masks=None if self.masks is None else self.masks.runs,
            class_names=self.class_names,
        )

    def _one(self, row: int) -> Detection:
        x1, y1, x2, y2 = self.boxes[row].tolist()
        label = int(self.labels[row])
        return Detection(
            box=(x1, y1, x2, y2),
            score=float(self.scores[row]),
            label=label,
            name=self.class_names[label],
            mask=None if self.masks is None else self.masks[row],
        )


def _as_dict(result: CocoResult, mask: Mapping[str, Any] | None) -> dict[str, Any]:
    return {**result} if mask is None else {**result, "segmentation": dict(mask)}


def detections_of(
    found: PictureDetections,
    *,
    size: Size,
    class_names: tuple[str, ...],
    category_ids: tuple[int, ...],
    picture: str,
    damage: str | None,
) -> Detections:
    """What a script gets of the detections of a picture, in host memory."""
    masks: MaskRuns | None = found.masks
    return Detections(
        boxes=found.boxes.numpy(),
        scores=found.scores.numpy(),
        labels=found.labels.numpy(),
        masks=None if masks is None else Masks(masks),
        class_names=class_names,
        category_ids=category_ids,
        height=size.height,
        width=size.width,
        picture=picture,
        damage=damage,
    )
