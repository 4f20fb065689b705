"""Detectors on a CPU with wide convolutions of fewer multiplications (``Conv2d``) or torch's, in turn.

With ``--layers`` single convolutions with their gradients; torch's of NCHW features, where it is faster.
"""

import argparse
from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from hrdet_cli.engine.geometry import Size
from hrdet_cli.engine.models import winograd
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec
from tests.parity.filled_detector import make_batch

from .recomputation import build_step
from .reporting import show_table
from .step_time import NUM_CLASSES, compare_in_turn

PRESETS = ("hrnet-w18", "r50-fpn-syncbn", "mmdet3-retinanet-r50-fpn", "mmdet3-fcos-r50-caffe-fpn")
NO_LAYER = 1 << 30
LAYERS = ((128, 80), (256, 20), (256, 32), (256, 40), (256, 80), (256, 128))
"""Channels, and sides of the map."""


def main() -> None:
    """Print two rows for each preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("presets", nargs="*", default=PRESETS)
    parser.add_argument("--layers", action="store_true", help="measure single convolutions instead")
    parser.add_argument("--canvas", nargs=2, type=int, default=(640, 480), help="width and height")
    parser.add_argument("--pictures", type=int, default=1, help="of a step; detection has one")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.layers:
        show_table(
            f"3x3 convolutions with their gradients, float32, {arguments.threads} threads, CPU seconds, "
            f"medians of {arguments.rounds}",
            ["channels, side", "fewer multiplications", "torch's", "ratio"],
            [measure_layer(*layer, rounds=arguments.rounds) for layer in LAYERS],
        )
        return
    width, height = arguments.canvas
    canvas = Size(height, width)
    rows = []
    for preset in arguments.presets:
        step = build_step("off", preset, arguments.pictures, canvas)
        rows.append(measure(f"{preset}, step", step, rounds=arguments.rounds))
        rows.append(measure(f"{preset}, detection", detection_of(preset, canvas), rounds=arguments.rounds))
    show_table(
        f"Steps of {arguments.pictures} pictures, and detection in one, {width}x{height}, float32, "
        f"{arguments.threads} threads, CPU seconds, medians of {arguments.rounds}",
        ["", "fewer multiplications", "torch's", "ratio"],
        rows,
    )


def detection_of(preset: str, canvas: Size) -> Callable[[], object]:
    """As an evaluation detects, with random weights."""
    torch.manual_seed(0)
    detector = build_detector(load_spec(preset=preset).spec, num_classes=NUM_CLASSES, trains=False)
    images, prepared = make_batch([(canvas.height, canvas.width)]).images, detector.eval().for_detection()
    return lambda: prepared.detect(images)


def measure(name: str, call: Callable[[], object], *, rounds: int) -> list[str]:
    """A row of medians and the median ratio."""

    def with_torchs() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(winograd, "_MIN_CHANNELS_IN", NO_LAYER)
            call()

    return compare_in_turn(name, call, with_torchs, rounds=rounds)


def measure_layer(num_channels: int, side: int, *, rounds: int) -> list[str]:
    """A row likewise."""
    features = torch.randn(1, num_channels, side, side).requires_grad_()
    weight = torch.randn(num_channels, num_channels, 3, 3).requires_grad_()
    gradient = torch.randn(1, num_channels, side, side)
    turned = features.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    turned_gradient = gradient.contiguous(memory_format=torch.channels_last)

    def ours() -> None:
        torch.autograd.grad(winograd.convolve_3x3(turned, weight, None), (turned, weight), turned_gradient)

    def torchs() -> None:
        torch.autograd.grad(F.conv2d(features, weight, padding=1), (features, weight), gradient)

    return compare_in_turn(f"{num_channels}, {side}", ours, torchs, rounds=rounds)


if __name__ == "__main__":
    main()
