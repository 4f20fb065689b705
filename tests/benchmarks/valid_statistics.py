"""Seconds of a training step whose norms count the pictures' pixels only, against one that counts all.

The same network on the same pictures, on a canvas of which a good third is padding, step by step in turn.
"""

import argparse
from collections.abc import Callable, Iterator
from statistics import median

import torch
from torch import Tensor, nn

from hrdet_cli.engine.models.backbones.hrnet import HRNET_CONFIGS, HRNet
from hrdet_cli.engine.models.detector import Detector
from hrdet_cli.engine.norm.valid_area import ValidArea
from hrdet_cli.engine.structures import ImageBatch, Size, Targets
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.specs.loading import load_spec

from .reporting import show_table
from .step_time import Duration, timed_step

CANVAS = Size(256, 320)
SIZES = ((256, 192), (160, 320), (256, 320), (192, 224))
NUM_CLASSES = 3
NUM_BOXES = 8

Steps = tuple[Callable[[], Duration], Callable[[], Duration]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=9, help="steps of each that count")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    rows = []
    for name, (all_step, valid_step) in cases():
        all_step(), valid_step()  # warm up
        pairs = [(all_step(), valid_step()) for _ in range(arguments.steps)]
        rows += [
            compare(f"{name}, seconds", [(a.seconds, v.seconds) for a, v in pairs]),
            compare(f"{name}, CPU seconds", [(a.cpu_seconds, v.cpu_seconds) for a, v in pairs]),
        ]
    show_table(
        f"Training step with norm.statistics all and valid, canvas {CANVAS}, float32, {arguments.threads} "
        f"thread(s), medians of {arguments.steps} steps",
        ["", "all", "valid", "ratio"],
        rows,
    )


def cases() -> Iterator[tuple[str, Steps]]:
    """A name, and a step that counts all pixels and one that counts the pictures'."""
    yield "HRNet-W18, 2 pictures", backbone_steps(draw_batch(2)[0])
    yield "detector on HRNet-small, 4 pictures", detector_steps(*draw_batch(4))


def draw_batch(num_pictures: int) -> tuple[ImageBatch, Targets]:
    """Noise with random boxes."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.tensor(SIZES[:num_pictures])
    pixels = torch.zeros(num_pictures, 3, CANVAS.height, CANVAS.width, dtype=torch.uint8)
    for picture, (height, width) in zip(pixels, SIZES, strict=False):
        picture[:, :height, :width] = torch.randint(
            256, (3, height, width), dtype=torch.uint8, generator=generator
        )
    corners = torch.rand(num_pictures, NUM_BOXES, 2, generator=generator) * 100
    sides = torch.rand(num_pictures, NUM_BOXES, 2, generator=generator) * 50 + 10
    targets = Targets(
        boxes=torch.cat((corners, corners + sides), dim=2),
        labels=torch.randint(NUM_CLASSES, (num_pictures, NUM_BOXES), generator=generator),
        is_valid=torch.ones(num_pictures, NUM_BOXES, dtype=torch.bool),
    )
    return ImageBatch(pixels=pixels, sizes=sizes, keys=torch.arange(num_pictures)), targets


def backbone_steps(images: ImageBatch) -> Steps:
    pixels = (images.pixels.float() / 255).contiguous(memory_format=torch.channels_last)

    def step(network: nn.Module, area: ValidArea | None) -> Callable[[], Duration]:
        def losses() -> dict[str, Tensor]:
            return {str(map_.shape): map_.square().mean() for map_ in network(pixels, area)}

        return timed_step(network, losses)

    torch.manual_seed(0)
    networks = [HRNet(HRNET_CONFIGS["w18"]) for _ in range(2)]
    return step(networks[0], None), step(networks[1], ValidArea.on_canvas(CANVAS, images.sizes))


def detector_steps(images: ImageBatch, targets: Targets) -> Steps:
    def step(statistics: str) -> Callable[[], Duration]:
        settings = [f"norm.statistics={statistics}"]
        detector: Detector = build_detector(
            load_spec(preset="demo", settings=settings).spec, num_classes=NUM_CLASSES, trains=True
        )
        return timed_step(detector, lambda: detector(images, targets))

    return step("all"), step("valid")


def compare(what: str, pairs: list[tuple[float, float]]) -> list[str]:
    """A row of medians and the median ratio."""
    of_all, of_valid = (median(column) for column in zip(*pairs, strict=True))
    ratio = median(valid / every for every, valid in pairs)
    return [what, f"{of_all:.3f}", f"{of_valid:.3f}", f"{ratio:.2f}"]


if __name__ == "__main__":
    main()
