"""A detector in a script."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, overload

import torch
from torch import nn

from hrdet_cli.api.detections import Detections, detections_of
from hrdet_cli.api.pictures import GivenPicture, Picture, is_one_picture, numbered, read_given_picture
from hrdet_cli.engine.data.unlabelled import UnlabelledPicture
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.errors import SpecError
from hrdet_cli.runs.predict.defaults import MIN_SCORE
from hrdet_cli.runs.predict.detection import build_picture_detector
from hrdet_cli.runs.stopping import never
from hrdet_cli.runs.tiles import most_pixels
from hrdet_cli.runs.trained_detector.checkpoint import spec_changes, spec_of_checkpoint
from hrdet_cli.runs.trained_detector.detector import TrainedDetector
from hrdet_cli.specs.layers import Layer
from hrdet_cli.specs.loading import format_spec


class Predictor:
    """A detector that is ready to be used; `load` and `build` make it.

    Attributes:
        module: The network, on its device: an ordinary ``torch.nn.Module``. ``module(images, targets)``, with
            what `make_batch` makes, is a dictionary of losses. What it learns is what `predict` uses, and
            whichever mode it is in, `predict` leaves it so.
        class_names: Name of each of the K labels.
        category_ids: Id of each of the K labels in COCO's formats.
        source: Where it comes from.
        notices: What the user should know of it, a sentence each.
    """

    def __init__(self, trained: TrainedDetector, detector: Detector, notices: tuple[str, ...]) -> None:
        """Made by `load` and `build`; its arguments are private."""
        self._trained = trained
        self._detector = detector
        self.module: nn.Module = detector
        self.class_names = trained.class_names
        self.category_ids = trained.ids_in_results
        self.source = trained.source
        self.notices = notices

    def __repr__(self) -> str:
        return f"<Predictor {self.source}: {len(self.class_names)} classes, on {self.device}>"

    @property
    def device(self) -> torch.device:
        """Where the module's weights are; ``module.to(...)`` moves them."""
        return next(self._detector.parameters()).device

    @property
    def spec(self) -> dict[str, Any]:
        """How it is built and evaluated, as plain types, by the keys of specs."""
        return self._trained.spec.model_dump(mode="json")

    @overload
    def predict(  # type: ignore[overload-overlap]  # texts and arrays are iterable too, and are one picture
        self, pictures: Picture, *, min_score: float = MIN_SCORE, batch_size: int | None = None
    ) -> Detections: ...

    @overload
    def predict(
        self, pictures: Iterable[Picture], *, min_score: float = MIN_SCORE, batch_size: int | None = None
    ) -> list[Detections]: ...

    def predict(
        self,
        pictures: Picture | Iterable[Picture],
        *,
        min_score: float = MIN_SCORE,
        batch_size: int | None = None,
    ) -> Detections | list[Detections]:
        """Find objects in a picture, or in each of several.

        Exactly what `hrdet predict` finds: pictures are resized as in an evaluation, looked at in tiles or in
        several scales where the spec says so, and files are read ahead by threads.

        Args:
            pictures: One picture or several: the path of a file; an array ``(H, W, 3)`` of uint8 in 0 .. 255
                in the order **red, green, blue** (OpenCV reads blue first: give ``array[..., ::-1]``); or a
                picture of Pillow, of any mode, turned as its EXIF says. Several are taken one by one.
            min_score: Detections with a lower score are left out. The detector itself leaves out some.
            batch_size: Most pictures on the device at once; None takes ``evaluation.batch_size``. What is
                found does not depend on it, but for how float32 rounds.

        Returns:
            What was found, in the pixels of each picture as it was given; in the order of the pictures.

        Raises:
            DataError: A picture cannot be read, or is in none of these forms; the message names it.
            OutOfMemoryError: The pictures do not fit into memory at once.
        """
        if not 0 <= min_score <= 1:
            raise SpecError([f"min_score: must be in [0, 1]; got {min_score}"])
        if batch_size is not None and batch_size < 1:
            raise SpecError([f"batch_size: must be at least 1; got {batch_size}"])
        if is_one_picture(pictures):
            return self._find([pictures], min_score, batch_size)[0]  # type: ignore[list-item]  # told apart
        return self._find(pictures, min_score, batch_size)  # type: ignore[arg-type]

    def _find(
        self, pictures: Iterable[Picture], min_score: float, batch_size: int | None
    ) -> list[Detections]:
        spec = self._trained.spec
        detector = build_picture_detector(self._detector, spec, self.device, batch_size=batch_size)
        found: dict[int, Detections] = {}
        groups = detector.look_at(
            numbered(pictures),
            partial(_read, max_pixels=most_pixels(spec.data)),
            failed=[],
            stop_asked=never,
        )
        for group in groups:
            for seen in group.finished:
                picture, detections = seen.picture, seen.detections
                found[picture.number] = detections_of(
                    detections.select(detections.scores >= min_score),
                    size=picture.size,
                    class_names=self.class_names,
                    category_ids=self.category_ids,
                    picture=picture.name,
                    damage=picture.damage,
                )
        return [found[number] for number in sorted(found)]


def detector_in_memory(predictor: Predictor, layers: Sequence[Layer]) -> TrainedDetector:
    """A predictor's detector with the weights that its module has now, and a spec that layers change.

    Raises:
        SpecError: A change is not valid.
    """
    trained = predictor._trained
    spec = spec_of_checkpoint(format_spec(trained.spec), trained.source, layers)
    earlier = trained.changes if trained.saved_spec is None else {}
    return replace(
        trained,
        spec=spec,
        changes={**earlier, **spec_changes(trained.saved_spec or trained.spec, spec)},
        weights={name: tensor.cpu() for name, tensor in predictor.module.state_dict().items()},
        source=f"{trained.source}, in memory",
        file=None,
        step=None,
        epoch=None,
    )


def _read(given: GivenPicture, *, max_pixels: int) -> UnlabelledPicture:
    pixels, damage = read_given_picture(given, max_pixels=max_pixels)
    return UnlabelledPicture(pixels, given.number, given.name, damage)
