"""CPU milliseconds that one worker takes for a picture, by what is done to it, batch by batch in turn."""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch

from hrdet_cli.engine.data.batch import Batch
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.dataset.opening import DataNeeds, open_part
from hrdet_cli.specs.loading import load_spec

from .pictures import ANNOTATIONS, FOLDER, write_pictures
from .reporting import show_table

PRESET = "mask-hrnet-w18"
JITTER = ("augmentation={kind: scale-jitter}", "padding={policy: fixed, canvas_pixels: [1024, 1024]}")
CORNERS = 24
CASES = {
    "resize to 1333x800": (),
    "scale-jitter on 1024x1024": JITTER,
    "... and turned": (*JITTER, "augmentation.extras={vertical_flip_probability: 0.5, turn_probability: 1}"),
    "... and colour": (*JITTER, "augmentation.extras={colour: {probability: 1}}"),
    "... and blur": (*JITTER, "augmentation.extras={blur: {probability: 1}}"),
    "... and noise": (*JITTER, "augmentation.extras={noise: {probability: 1}}"),
    "... and JPEG": (*JITTER, "augmentation.extras={jpeg: {probability: 1}}"),
    "... and copy-paste": (*JITTER, "augmentation.extras={copy_paste: {probability: 1}}"),
    "... and all of it, always": (
        *JITTER,
        "augmentation.extras={vertical_flip_probability: 0.5, turn_probability: 1, colour: {probability: 1}, "
        "blur: {probability: 1}, noise: {probability: 1}, jpeg: {probability: 1}, "
        "copy_paste: {probability: 1}}",
    ),
    "... and all of it, as by default": (
        *JITTER,
        "augmentation.extras={vertical_flip_probability: 0.5, turn_probability: 0.5, colour: {}, blur: {}, "
        "noise: {}, jpeg: {}, copy_paste: {}}",
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=32)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        write_pictures(root, count=arguments.pictures, height=480, width=640, num_boxes=8)
        add_outlines(root / ANNOTATIONS)
        ways = {name: batches(root, settings) for name, settings in CASES.items()}
        milliseconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(arguments.pictures // 2):
            for name, way in ways.items():
                started = time.process_time()
                batch = next(way)
                milliseconds[name].append(1000 * (time.process_time() - started) / len(batch))
    means = {name: sum(times) / len(times) for name, times in milliseconds.items()}
    plain = means["scale-jitter on 1024x1024"]
    show_table(
        f"CPU milliseconds a picture, {PRESET}, 640x480 JPEGs with 8 outlines each, one thread",
        ["", "mean", "median", "ratio of means to scale-jitter alone"],
        [
            [name, f"{means[name]:.1f}", f"{median(times):.1f}", f"{means[name] / plain:.2f}"]
            for name, times in milliseconds.items()
        ],
    )


def batches(root: Path, settings: tuple[str, ...]) -> Iterator[Batch]:
    """Batches of two pictures, read here."""
    spec = load_spec(
        preset=PRESET,
        settings=[
            f"data.root={root}",
            f"data.train={{annotations: {ANNOTATIONS}, images: {FOLDER}}}",
            "data.val=null",
            "data.batch_size_per_process=2",
            "data.num_workers=0",
            *settings,
        ],
    ).spec
    part = open_part(spec.data, "train", DataNeeds.of(spec.model.head))
    loader = build_training_loader(spec, part, torch.device("cpu"))
    yield from loader.batches(0)


def add_outlines(path: Path) -> None:
    """Give each box an ellipse."""
    document = json.loads(path.read_text(encoding="utf-8"))
    angles = np.linspace(0, 2 * np.pi, CORNERS, endpoint=False)
    for annotation in document["annotations"]:
        x, y, width, height = annotation["bbox"]
        corners = np.stack([x + width * (1 + np.cos(angles)) / 2, y + height * (1 + np.sin(angles)) / 2], 1)
        annotation["segmentation"] = [corners.ravel().round(2).tolist()]
    path.write_text(json.dumps(document), encoding="utf-8")


if __name__ == "__main__":
    main()
