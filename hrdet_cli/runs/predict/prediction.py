"""A trained detector over pictures: read ahead, detect in batches, draw, and write down."""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hrdet_cli.runs.device import kernel_notices, select_device
from hrdet_cli.runs.output_files import refuse_unwritable_folder, write_json
from hrdet_cli.runs.predict.detection import SeenGroup, build_picture_detector
from hrdet_cli.runs.predict.document import FailedPicture, PredictedPicture, coco_document
from hrdet_cli.runs.predict.drawing import DrawnPictures
from hrdet_cli.runs.predict.inputs import DETECTIONS, DRAWN, find_pictures
from hrdet_cli.runs.predict.reading import read_picture
from hrdet_cli.runs.progress import WorkProgress
from hrdet_cli.runs.result_folders import results_folder
from hrdet_cli.runs.tiles import most_pixels
from hrdet_cli.runs.trained_detector.detector import TrainedDetector, build_trained_detector
from hrdet_cli.specs.experiment import ExperimentSpec


@dataclass(frozen=True, slots=True)
class Prediction:
    """A finished ``hrdet predict``, or one that was stopped.

    Attributes:
        out: Folder of the results.
        class_names: Name of each label.
        pictures: Those that were looked at, in the order they were given.
        failed: Those that could not be read, likewise.
        num_not_done: Those that were not reached when it was stopped.
        skipped: How many files beside them are no pictures, by ending.
        document: What ``detections.json`` holds.
        notices: What the user should be told.
    """

    out: Path
    class_names: tuple[str, ...]
    pictures: tuple[PredictedPicture, ...]
    failed: tuple[FailedPicture, ...]
    num_not_done: int
    skipped: Mapping[str, int]
    document: dict[str, Any]
    notices: tuple[str, ...]


def predict_pictures(
    trained: TrainedDetector,
    sources: Sequence[Path],
    *,
    out: Path | None,
    min_score: float,
    batch_size: int | None,
    stop_asked: Callable[[], bool],
) -> Generator[WorkProgress, None, Prediction]:
    """Find, read, detect, draw and write; a picture that cannot be read stops nothing.

    Pictures are resized as an evaluation of the same spec does it, so what is found in one is the same.

    Args:
        trained: The detector.
        sources: Pictures, folders and archives.
        out: Folder for the results; None puts them beside the weights.
        min_score: Detections with a lower score are left out.
        batch_size: Pictures detected in at once; None takes the spec's.
        stop_asked: Whether this process was asked to stop; what is done by then is kept.

    Raises:
        HrdetError: No pictures, weights that do not fit, results that cannot be written.
    """
    spec = trained.spec
    out = out or results_folder(trained, "predict")
    refuse_unwritable_folder(out, option="--out")
    inputs = find_pictures(sources, drawn=out / DRAWN)
    yield WorkProgress("building the detector")
    device = select_device(spec.run)
    detector = build_picture_detector(
        build_trained_detector(trained, device), spec, device, batch_size=batch_size
    )
    drawn = DrawnPictures(inputs.pictures, out, min_score=min_score, class_names=trained.class_names)
    failed: list[FailedPicture] = []
    groups = detector.look_at(
        inputs.pictures,
        partial(read_picture, max_pixels=most_pixels(spec.data)),
        failed=failed,
        stop_asked=stop_asked,
    )

    def draw_finished(group: SeenGroup) -> WorkProgress:
        drawn.add(group)
        num_done, num_given = len(drawn.pictures) + len(failed), len(inputs.pictures)
        if spec.data.tiles is None:
            return WorkProgress("detecting", num_done, num_given)
        which = f"picture {num_done + 1} of {num_given}"
        return WorkProgress(f"detecting in {which}, tiles", group.num_views_seen, group.num_views)

    with closing(groups):
        yield from map(draw_finished, groups)  # no name keeps a picture while the next ones are decoded
    pictures = drawn.in_order()
    failed.sort(key=lambda picture: picture.number)
    document = coco_document(trained, pictures, failed, min_score=min_score)
    write_json(out / DETECTIONS, document)
    return Prediction(
        out=out,
        class_names=trained.class_names,
        pictures=pictures,
        failed=tuple(failed),
        num_not_done=len(inputs.pictures) - len(pictures) - len(failed),
        skipped=inputs.skipped,
        document=document,
        notices=(
            *kernel_notices(device),
            *trained.notices,
            *inputs.notices(),
            *drawn.notices(),
            *_notices(spec, min_score),
        ),
    )


def _notices(spec: ExperimentSpec, min_score: float) -> Iterator[str]:
    selection = spec.model.head.selection
    if selection is not None and min_score < selection.spec.score_threshold:
        yield (
            f"the detector itself drops scores up to {selection.spec.score_threshold:g}, more than "
            f"--min-score {min_score:g}; --set {selection.key}.score_threshold=0 keeps them"
        )
