"""hrdet beside ``mmdetection_chain.py``: from picture files to detections, from detections to COCO's numbers.

python -m tests.parity.compare_chain FOLDER ANNOTATIONS IMAGES
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision.ops import box_iou

from hrdet_cli.engine.data.augmentations import ResizeAugmentation
from hrdet_cli.engine.data.coco import CocoAnnotations
from hrdet_cli.engine.data.coco_reading import load_coco
from hrdet_cli.engine.data.collation import pad_pictures
from hrdet_cli.engine.data.dataset import PictureDataset
from hrdet_cli.engine.data.decoding import decode_rgb
from hrdet_cli.engine.data.image_source import ImageSource
from hrdet_cli.engine.data.images import open_images
from hrdet_cli.engine.data.padding import SmallestCanvas
from hrdet_cli.engine.data.showings import Showing
from hrdet_cli.engine.data.transforms import PixelFilter, Resizing
from hrdet_cli.engine.evaluation.picture_detections import PictureDetections
from hrdet_cli.engine.geometry import Scale
from hrdet_cli.engine.models.detector import Detector
from tests.detection_tables import score_detections, table_of
from tests.parity.cases import CHAIN_SCALES
from tests.parity.compare_detection import detect_in
from tests.parity.filled_detector import build_filled
from tests.parity.jittered_results import make_results

_SAME_IOU = 0.95


def main() -> None:
    """Print what differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("folder", "annotations", "images"):
        parser.add_argument(name, type=Path)
    arguments = parser.parse_args()
    dump = torch.load(arguments.folder / "chain.pt", weights_only=True)
    annotations, images = load_coco(arguments.annotations, with_truth=True), open_images(arguments.images)
    metrics = score_detections(annotations, table_of(annotations, make_results(arguments.annotations)))
    pairs = zip(metrics.numbers["box"].items(), dump["metrics"], strict=True)
    numbers = (f"{name} {ours:.6f} {theirs:.6f};" for (name, ours), theirs in pairs)
    sys.stdout.write(f"COCO, ours and theirs: {' '.join(numbers)}\n")
    detector = build_filled("w18").eval()
    for scale, pictures in dump["scales"].items():
        for pixel_filter in ("opencv", "bilinear", "antialias"):
            compare(detector, annotations, images, scale, pictures, pixel_filter)


def compare(
    detector: Detector,
    annotations: CocoAnnotations,
    images: ImageSource,
    scale: str,
    pictures: Mapping[str, Any],
    pixel_filter: PixelFilter,
) -> None:
    """Print the differences of all pictures at one scale with one filter."""
    (long, short), _ = CHAIN_SCALES[scale]
    augmentation = ResizeAugmentation(
        scales=(Scale(long, short),),
        mode="choice",
        flip_probability=0,
        resizing=Resizing(pixel_filter=pixel_filter),
    )
    dataset = PictureDataset(annotations=annotations, images=images, augmentation=augmentation, seed=0)
    names = annotations.file_names.tolist()
    decoded, pixels, num_same, num_found, shifts, scores = [], [], 0, 0, [], []
    for name, theirs in pictures.items():
        index = names.index(name)
        original = annotations.size_of(index)
        rgb = decode_rgb(images.read(name), expected=original, name=name)
        decoded.append((rgb.int() - theirs["decoded"].int()).abs().flatten())
        sample = dataset.sample(0, Showing(index))
        pixels.append((sample.pixels.int() - theirs["pixels"].int()).abs().flatten())
        canvas = SmallestCanvas().canvas_for([sample.record.placement.placed])
        (found,) = detect_in(detector, pad_pictures([sample], canvas))
        rows, columns = _same(found, theirs)
        num_same, num_found = num_same + len(rows), num_found + len(theirs["boxes"])
        shifts.append((found.boxes[columns] - theirs["boxes"][rows]).abs().flatten())
        scores.append((found.scores[columns] - theirs["scores"][rows]).abs())
    sys.stdout.write(
        f"{scale} {pixel_filter}, {len(pictures)} pictures: decoded {_describe(decoded)}; "
        f"resized {_describe(pixels)}; {num_same} of {num_found} detections have one of their class with "
        f"IoU above {_SAME_IOU}; their corners differ by {_describe(shifts)} pixels, "
        f"their scores by {_describe(scores)}\n"
    )


def _same(found: PictureDetections, theirs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Rows of theirs and of ours that are the same thing."""
    overlaps = box_iou(theirs["boxes"], found.boxes) * (theirs["labels"][:, None] == found.labels)
    best = overlaps.max(dim=1)
    rows = (best.values > _SAME_IOU).nonzero().flatten()
    return rows, best.indices[rows]


def _describe(differences: list[Tensor]) -> str:
    values = torch.cat(differences).float()
    return f"mean {values.mean().item():.2g}, largest {values.max().item():.2g}"


if __name__ == "__main__":
    main()
