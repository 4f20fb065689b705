"""hrdet's side of a comparison: a detector with arithmetic weights, and batches of arithmetic pictures."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hrdet_cli.engine.data.batch import Batch, PictureRecord, Sample
from hrdet_cli.engine.data.collation import pad_pictures
from hrdet_cli.engine.data.mask_frames import draw_frames
from hrdet_cli.engine.data.padding import SmallestCanvas
from hrdet_cli.engine.data.segmentations import Segmentations
from hrdet_cli.engine.data.transforms import Placement
from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import LABEL_MAP_STRIDE
from hrdet_cli.engine.weights.loading import load_weights
from hrdet_cli.engine.weights.naming.mmdetection import to_mmdetection
from hrdet_cli.engine.weights.naming.recognition import recognise, to_ours
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec
from tests.parity.cases import CASES, original_size
from tests.parity.filling import (
    NUM_CLASSES,
    fill,
    make_picture,
    make_polygons,
    make_semantic_map,
    make_targets,
)


def build_filled(
    model: str,
    shapes: Mapping[str, Sequence[int]] | None = None,
    *,
    tensors: Mapping[str, Tensor] | None = None,
    settings: Sequence[str] = (),
) -> Detector:
    """A detector of a preset, filled under the names of the code it is compared with.

    Args:
        model: A key of ``CASES``.
        shapes: The state dict of the other code; None for what mmdetection's would be.
        tensors: That state dict, where it is filled already: to fill it takes seconds.
        settings: Further changes to the preset, each ``key=value``.
    """
    case = CASES[model]
    spec = load_spec(preset=case.preset, settings=[*case.settings, *settings]).spec
    num_classes = NUM_CLASSES if case.config else NUM_CLASSES + 10  # torchvision has ids of COCO up to 90
    detector = build_detector(spec, num_classes=num_classes, trains=True)
    if tensors is None:
        if shapes is None:
            shapes = {name: value.shape for name, value in to_mmdetection(detector.state_dict()).items()}
        filled = fill(shapes, pixel_std=case.pixel_std)
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
        size = Size(height, width)
        record = PictureRecord(
            index=number,
            image_id=number,
            file_name=f"{number}.png",
            original=Size(*original_size(height, width)),
            placement=Placement(size),
            ignored_boxes=torch.zeros(0, 4),
        )
        pixels = torch.from_numpy(make_picture(height, width, number=number))
        semantic_map = make_semantic_map(height, width, number=number)[::LABEL_MAP_STRIDE, ::LABEL_MAP_STRIDE]
        samples.append(
            Sample(
                pixels,
                torch.from_numpy(boxes),
                torch.from_numpy(labels),
                key=number,
                record=record,
                masks=torch.from_numpy(draw_frames(_segmentations(boxes), boxes, size, Placement(size))),
                semantic=torch.from_numpy(semantic_map.astype(np.uint8)),
            )
        )
    return pad_pictures(samples, SmallestCanvas().canvas_for([Size(*size) for size in sizes]))


def _segmentations(boxes: NDArray[np.float32]) -> Segmentations:
    """A polygon for each box."""
    polygons = make_polygons(boxes)
    num_objects, num_corners, _ = polygons.shape
    return Segmentations(
        corners=polygons.reshape(-1, 2),
        corner_offsets=num_corners * np.arange(num_objects + 1),
        polygon_offsets=np.arange(num_objects + 1),
        runs=np.zeros(0, dtype=np.int32),
        run_offsets=np.zeros(num_objects + 1, dtype=np.int64),
    )
