"""What a checkpoint inside an epoch costs a run of HRNet-W18: written at once, or from a copy by a thread.

Both come in turn with steps that have none, so that a machine whose speed changes is fair to all.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path
from statistics import median

import torch

from hrdet_cli.engine.training.checkpoint_writer import CheckpointWriter
from hrdet_cli.runs.build.detector import build_detector
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.build.trainer import build_trainer
from hrdet_cli.runs.dataset.opening import open_part
from hrdet_cli.specs.loading import load_spec

from .pictures import ANNOTATIONS, FOLDER, write_pictures
from .reporting import show_table

SCALE = (640, 400)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as root:
        num_pictures = 3 * arguments.rounds + 1
        write_pictures(Path(root), count=num_pictures, height=SCALE[1], width=SCALE[0], num_boxes=20)
        measure(Path(root), arguments.rounds)


def measure(root: Path, num_rounds: int) -> None:
    spec = load_spec(
        preset="hrnet-w18-mstrain-pad",
        settings=[
            "model.weights=null",
            f"data.root={root}",
            f"data.train={{annotations: {ANNOTATIONS}, images: {FOLDER}}}",
            "data.batch_size_per_process=1",
            "data.num_workers=0",
            f"augmentation.scales_pixels=[[{SCALE[0]}, {SCALE[1]}]]",
            f"padding.canvas_pixels=[{SCALE[0]}, 416]",
        ],
    ).spec
    part = open_part(spec.data, "train")
    device = torch.device("cpu")
    detector = build_detector(spec, num_classes=len(part.annotations.class_names), trains=True)
    loader = build_training_loader(spec, part, device)
    trainer = build_trainer(spec, detector, loader, device, learning_rate=1e-6, stop_asked=lambda: False)
    file = root / "last.pt"
    plain, pauses_written, pauses_begun, beside = [], [], [], []
    with CheckpointWriter() as writer:
        steps = iter(trainer.train_epoch())
        next(steps)
        for _ in range(num_rounds):
            plain.append(next(steps).step_seconds)
            started = time.perf_counter()
            writer.write([file], trainer.state_dict())
            pauses_written.append(time.perf_counter() - started)
            next(steps)
            started = time.perf_counter()
            writer.begin(file, trainer.state_dict())
            pauses_begun.append(time.perf_counter() - started)
            beside.append(next(steps).step_seconds)
            writer.finish()
        size = file.stat().st_size
    slower = median(now / alone - 1 for now, alone in zip(beside, plain, strict=True))
    show_table(
        f"A checkpoint of hrnet-w18-mstrain-pad, {size / 1e6:.0f} MB, beside steps of "
        f"{median(plain):.2f} s; medians of {num_rounds}",
        ["", "pause, s", "next step"],
        [
            ["written at once", f"{median(pauses_written):.2f}", ""],
            ["copied, written by a thread", f"{median(pauses_begun):.2f}", f"{slower:+.1%}"],
        ],
    )


if __name__ == "__main__":
    main()
