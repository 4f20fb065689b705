"""Milliseconds of what is done to the pixels of a training picture, beside torchvision's functions."""

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median

import numpy as np
import torch
from torchvision.io import decode_jpeg, encode_jpeg
from torchvision.transforms.v2 import functional as F

from hrdet_cli.engine.data.keys import generator_for
from hrdet_cli.engine.data.pixel_changes import (
    Blur,
    ColourJitter,
    JpegArtefacts,
    Noise,
    PixelChange,
    change_pixels,
)
from hrdet_cli.engine.data.synthetic_scene import draw_scene

from .reporting import show_table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=1024, help="of the square picture")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    edge = arguments.edge
    scene = draw_scene(np.random.default_rng(1), height=edge, width=edge, num_objects=20, has_crowd=False)
    pixels = torch.from_numpy(scene.pixels).permute(2, 0, 1)
    planes = pixels.contiguous()  # as torchvision has them

    def colours(**most: float) -> ColourJitter:
        nothing = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
        return ColourJitter(probability=1, **{**nothing, **most})

    cases: dict[str, tuple[PixelChange, Callable[[], object]]] = {
        "brightness": (colours(brightness=0.4), lambda: F.adjust_brightness(planes, 1.2)),
        "contrast": (colours(contrast=0.4), lambda: F.adjust_contrast(planes, 1.2)),
        "saturation": (colours(saturation=0.4), lambda: F.adjust_saturation(planes, 1.2)),
        "hue": (colours(hue=0.1), lambda: F.adjust_hue(planes, 0.05)),
        "blur": (Blur(probability=1, sigma=(1.5, 1.5)), lambda: F.gaussian_blur(planes, [9, 9], [1.5, 1.5])),
        "noise": (
            Noise(probability=1, deviation=(8, 8)),
            lambda: (planes + 8 * torch.randn(planes.shape)).round_().clamp_(0, 255).to(torch.uint8),
        ),
        "JPEG": (
            JpegArtefacts(probability=1, quality=(60, 60)),
            lambda: decode_jpeg(encode_jpeg(planes, 60)),
        ),
    }
    rows = []
    for name, (change, other) in cases.items():
        work = partial(change_own, pixels, change)
        pairs = [(milliseconds(work), milliseconds(other)) for _ in range(arguments.rounds)]
        own, others = (median(times) for times in zip(*pairs, strict=True))
        rows.append([name, f"{own:.1f}", f"{others:.1f}", f"{others / own:.1f}"])
    show_table(
        f"Milliseconds for a picture of {arguments.edge}x{arguments.edge}, one thread, medians of "
        f"{arguments.rounds}, alternately",
        ["", "hrdet", "torchvision", "ratio"],
        rows,
    )


def change_own(pixels: torch.Tensor, change: PixelChange) -> object:
    return change_pixels(pixels, [change], generator_for(1))


def milliseconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return 1000 * (time.process_time() - started)


if __name__ == "__main__":
    main()
