"""Pictures with what was found in them, drawn as they are finished."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from hrdet_cli.engine.data.batch import PictureFault
from hrdet_cli.engine.data.unlabelled import UnlabelledPicture
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.visualisation.predictions import draw_predictions
from hrdet_cli.runs.output_files import save_picture
from hrdet_cli.runs.predict.detection import SeenGroup
from hrdet_cli.runs.predict.document import PredictedPicture
from hrdet_cli.runs.predict.inputs import DRAWN, PictureInput
from hrdet_cli.wording import counted

_LONGEST_JPEG_EDGE = 65500


class DrawnPictures:
    """Draws pictures and keeps what is known of them, but not their pixels.

    Args:
        given: All pictures, by their numbers, which count from 1.
        out: Folder of the results.
        min_score: Detections with a lower score are left out.
        class_names: Name of each label.

    Attributes:
        pictures: Those that were drawn, in the order in which they were finished.
    """

    def __init__(
        self, given: Sequence[PictureInput], out: Path, *, min_score: float, class_names: Sequence[str]
    ) -> None:
        self._given = given
        self._out = out
        self._min_score = min_score
        self._class_names = class_names
        self.pictures: list[PredictedPicture] = []
        self._damaged: list[PictureFault] = []

    def add(self, group: SeenGroup) -> None:
        """Draw the pictures of a group that are finished.

        Raises:
            OutputError: One cannot be written.
        """
        for seen in group.finished:
            given = self._given[seen.picture.number - 1]
            if seen.picture.damage is not None:
                self._damaged.append(PictureFault(given.name, seen.picture.damage))
            kept = seen.detections.select(seen.detections.scores >= self._min_score)
            drawn = self._draw(seen.picture, kept, self._out / DRAWN / given.drawn)
            self.pictures.append(
                PredictedPicture(given.name, seen.picture.size, kept, drawn.relative_to(self._out).as_posix())
            )

    def in_order(self) -> tuple[PredictedPicture, ...]:
        """All, in the order in which they were given."""
        return tuple(sorted(self.pictures, key=lambda picture: picture.detections.image_id))

    def notices(self) -> Iterator[str]:
        """What the user should be told of pictures that are not as they should be."""
        if self._damaged:
            first, pictures = self._damaged[0], counted(len(self._damaged), "picture")
            yield (
                f"damaged JPEG data in {pictures}, looked at as far as decoded; "
                f"the first: {first.file_name} ({first.reason})"
            )

    def _draw(self, picture: UnlabelledPicture, detections: PictureDetections, path: Path) -> Path:
        """Draw detections into a file; returns the file, which is a PNG where a JPEG cannot be as long."""
        if max(picture.pixels.shape) > _LONGEST_JPEG_EDGE:
            path = path.with_suffix(".png")
        drawing = draw_predictions(
            picture.pixels.permute(1, 2, 0).numpy(),
            boxes=detections.boxes.numpy(),
            labels=detections.labels.numpy(),
            scores=detections.scores.numpy(),
            masks=detections.masks,
            class_names=self._class_names,
        )
        save_picture(drawing, path)
        return path
