"""Processor time of detection in one picture, from its bytes to its boxes, on a CPU and in turn.

HRNet-W18 with and without norms that are part of its convolutions, and ResNet-50 beside torchvision's Faster
R-CNN with the same weights.  mmdetection's is in ``mmdetection_step.py``.
"""

import argparse
from collections.abc import Callable

import torch
from torchvision.models.detection import fasterrcnn_resnet50_fpn

from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.structures import ImageBatch
from hrdet_cli.engine.weights.loading import load_weights
from hrdet_cli.engine.weights.naming.recognition import recognise, to_ours
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec
from tests.parity.filled_detector import build_filled, make_batch

from .reporting import show_table
from .step_time import compare_in_turn

Detect = Callable[[], object]
NUM_CLASSES = 90


def main() -> None:
    """Print a row for each pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=512, help="of the picture, in pixels")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    side, batch = arguments.side, make_batch([(arguments.side, arguments.side)])
    w18, (r50, of_torchvision) = build_filled("w18").eval(), build_r50(batch.images, side)
    pairs: list[tuple[str, Detect, Detect]] = [
        (
            "HRNet-W18 : the same, norms by themselves",
            detection_with(w18, batch.images),
            lambda: w18.detect(batch.images),
        ),
        ("ResNet-50 : torchvision", detection_with(r50, batch.images), of_torchvision),
    ]
    show_table(
        f"Detection in a picture of {side}x{side}, float32, {arguments.threads} threads, CPU seconds, "
        f"medians of {arguments.rounds}",
        ["", "hrdet", "other", "ratio"],
        [compare_in_turn(*pair, rounds=arguments.rounds) for pair in pairs],
    )


def detection_with(detector: Detector, images: ImageBatch) -> Detect:
    """As an evaluation detects."""
    prepared = detector.for_detection()
    return lambda: prepared.detect(images)


def build_r50(images: ImageBatch, side: int) -> tuple[Detector, Detect]:
    """Ours, and torchvision's with the same weights, whose picture is floats and is not resized."""
    theirs = fasterrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=NUM_CLASSES + 1,
        min_size=side,
        max_size=side,
        _skip_resize=True,
    ).eval()
    spec = load_spec(preset="torchvision-r50-fpn").spec
    ours = build_detector(spec, num_classes=NUM_CLASSES, trains=False).eval()
    tensors = theirs.state_dict()
    writer, _ = recognise(tensors)
    load_weights(ours, to_ours(tensors, writer), strict=False, source="torchvision")

    @torch.no_grad()
    def detect() -> object:
        return theirs(list(images.pixels.float() / 255))

    return ours, detect


if __name__ == "__main__":
    main()
