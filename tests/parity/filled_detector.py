"""hrdet's side of a comparison: a detector with arithmetic weights, and batches of arithmetic pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hrdet_cli.engine.data.batch import Batch, PictureRecord, Sample
from hrdet_cli.engine.data.collation import pad_pictures
from hrdet_cli.engine.data.padding import SmallestCanvas
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.boxes.matching import Matches
from hrdet_cli.engine.models.boxes.sampling import Sample as Drawn
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.weights.loading import load_weights
from hrdet_cli.engine.weights.naming.mmdetection import to_mmdetection
from hrdet_cli.engine.weights.naming.recognition import recognise, to_ours
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec
from tests.parity.cases import PIXEL_STDS, original_size
from tests.parity.filling import NUM_CLASSES, fill, make_picture, make_targets

PRESETS = {
    "w18": "mmdet3-hrnet-w18",
    "w32": "mmdet3-hrnet-w32",
    "w40": "mmdet3-hrnet-w40",
    "r50": "mmdet3-r50-fpn",
    "r50-caffe": "mmdet3-r50-caffe-fpn",
    "torchvision": "torchvision-r50-fpn",
}
"""The preset of each model that is compared."""


def build_filled(
    model: str, shapes: Mapping[str, Sequence[int]] | None = None, *, settings: Sequence[str] = ()
) -> Detector:
    """A detector of a preset, filled under the names of the code it is compared with.

    Args:
        model: A key of ``PRESETS``.
        shapes: The state dict of the other code; None for what mmdetection's would be.
        settings: Changes to the preset, each ``key=value``.
    """
    spec = load_spec(preset=PRESETS[model], settings=settings).spec
    num_classes = NUM_CLASSES if model != "torchvision" else NUM_CLASSES + 10  # ids of COCO up to 90
    detector = build_detector(spec, num_classes=num_classes, trains=True)
    if shapes is None:
        shapes = {name: value.shape for name, value in to_mmdetection(detector.state_dict()).items()}
    filled = fill(shapes, pixel_std=PIXEL_STDS.get(model, 1.0))
    tensors = {name: torch.from_numpy(value) for name, value in filled.items()}
    counters = {name for name in tensors if name.endswith("num_batches_tracked")}
    tensors |= {name: tensors[name].long() for name in counters}
    writer, _ = recognise(tensors)
    load_weights(detector, to_ours(tensors, writer), strict=True, source=f"arithmetic weights, {writer.name}")
    return detector


def make_batch(sizes: Sequence[tuple[int, int]]) -> Batch:
    """The pictures and ground truth that the dumps have, as the loader would hand them over."""
    samples = []
    for number, (height, width) in enumerate(sizes):
        boxes, labels = make_targets(height, width, number=number)
        record = PictureRecord(
            index=number,
            image_id=number,
            file_name=f"{number}.png",
            original=Size(*original_size(height, width)),
            placement=Placement(Size(height, width)),
            ignored_boxes=torch.zeros(0, 4),
        )
        pixels = torch.from_numpy(make_picture(height, width, number=number))
        samples.append(
            Sample(pixels, torch.from_numpy(boxes), torch.from_numpy(labels), key=number, record=record)
        )
    return pad_pictures(samples, SmallestCanvas().canvas_for([Size(*size) for size in sizes]))


@dataclass(slots=True)
class RecordedSampler:
    """Draws what another detector drew, in place of a ``Sampler``, and keeps what it was to draw from.

    Attributes:
        draws: For each picture its drawn positives and negatives, as positions among our candidates.
        matches: Of the last draw.
    """

    draws: Sequence[tuple[Tensor, Tensor]]
    matches: Matches | None = None

    def draw(self, matches: Matches, keys: Tensor, numbers: Tensor) -> Drawn:  # noqa: ARG002
        """See ``Sampler.draw``."""
        self.matches = matches
        num_slots = max(len(positive) + len(negative) for positive, negative in self.draws)
        index = torch.zeros(len(self.draws), num_slots, dtype=torch.int64)
        is_positive, is_valid = torch.zeros_like(index, dtype=torch.bool), torch.zeros_like(index).bool()
        for row, (positive, negative) in enumerate(self.draws):
            drawn = torch.cat((positive, negative))
            index[row, : len(drawn)] = drawn
            is_positive[row, : len(positive)] = True
            is_valid[row, : len(drawn)] = True
        return Drawn(index=index, is_positive=is_positive, is_valid=is_valid)


def rpn_draws(dump: Mapping[str, Any]) -> list[tuple[Tensor, Tensor]]:
    """What a dump drew among the anchors that take part, as positions among all anchors."""
    positions = [takes_part.nonzero().flatten() for takes_part in dump["rpn_takes_part"]]
    return [
        (position[picture["positive"]], position[picture["negative"]])
        for position, picture in zip(positions, dump["rpn_draws"], strict=True)
    ]


def roi_draws(
    dump: Mapping[str, Any], num_boxes: Sequence[int], num_rows: int
) -> list[tuple[Tensor, Tensor]]:
    """What a dump drew among ground truth and proposals, where our ground truth has ``num_rows`` rows."""

    def moved(index: Tensor, count: int) -> Tensor:
        return torch.where(index < count, index, index - count + num_rows)

    return [
        (moved(picture["positive"], count), moved(picture["negative"], count))
        for picture, count in zip(dump["roi_draws"], num_boxes, strict=True)
    ]
