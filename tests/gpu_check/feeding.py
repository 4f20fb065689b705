"""Does the data path keep a GPU busy? A run's own steps on pictures of COCO's size, read by its workers."""

import argparse
import os
import tempfile
from itertools import islice
from pathlib import Path

import torch

from hrdet_cli.engine.training.reports import StepReport
from hrdet_cli.runs.build.detector import build_detector, place_detector
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.build.trainer import build_trainer
from hrdet_cli.runs.dataset.opening import open_part
from hrdet_cli.runs.stopping import never
from hrdet_cli.specs.loading import load_spec
from tests.benchmarks.pictures import ANNOTATIONS, FOLDER, write_pictures
from tests.benchmarks.reporting import show_table
from tests.gpu_check.steps import PRESET

NUM_BOXES = 8
NUM_WARM_UP = 5


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--preset", default=PRESET)
    parser.add_argument("--pictures", type=int, default=8, help="in a step")
    parser.add_argument("--steps", type=int, default=25, help="that count")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument(
        "--size", nargs=2, type=int, default=(480, 640), help="of the pictures in their files"
    )
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    num_steps = NUM_WARM_UP + arguments.steps
    with tempfile.TemporaryDirectory() as root:
        height, width = arguments.size
        count = max(64, arguments.pictures)
        write_pictures(Path(root), count=count, height=height, width=width, num_boxes=NUM_BOXES)
        settings = [
            "model.weights=null",
            "data.demo=null",
            f"data.root={root}",
            f"data.train={{annotations: {ANNOTATIONS}, images: {FOLDER}}}",
            f"data.batch_size_per_process={arguments.pictures}",
            f"data.num_workers={arguments.workers}",
            f"optimisation.num_epochs={num_steps}",
        ]
        reports = train(arguments.preset, settings, device, num_steps=num_steps)[NUM_WARM_UP:]
    seconds, waited = sum(r.step_seconds for r in reports), sum(r.data_seconds for r in reports)
    show_table(
        f"Training fed by {arguments.workers} workers, {arguments.preset}, {arguments.pictures} pictures a "
        f"step, {len(reports)} steps",
        ["", "measured"],
        [
            ["pictures a second", f"{arguments.pictures * len(reports) / seconds:.1f}"],
            ["waiting for data", f"{waited / seconds:.1%}"],
        ],
    )


def train(preset: str, settings: list[str], device: torch.device, *, num_steps: int) -> list[StepReport]:
    """Reports of the first steps of a run, over the ends of its epochs."""
    spec = load_spec(preset=preset, settings=settings).spec
    part = open_part(spec.data, "train")
    detector = build_detector(spec, num_classes=len(part.annotations.class_names), trains=True)
    with build_training_loader(spec, part, device) as loader:
        trainer = build_trainer(
            spec,
            place_detector(detector, spec.run, device),
            loader,
            device,
            learning_rate=0.0,
            stop_asked=never,
        )
        reports = (report for _ in range(num_steps) for report in trainer.train_epoch())
        return list(islice(reports, num_steps))


if __name__ == "__main__":
    main()
