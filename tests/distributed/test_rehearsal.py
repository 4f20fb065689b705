"""What a rehearsal says a step sends is what processes that are there send."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from hrdet_cli.engine.benchmarking.epoch_layout import lay_out_epoch
from hrdet_cli.engine.benchmarking.traffic import TrafficCounter
from hrdet_cli.engine.distributed.world import World
from hrdet_cli.runs.build.detector import build_detector, place_detector
from hrdet_cli.runs.build.loaders import build_training_loader
from hrdet_cli.runs.build.steps import build_steps
from hrdet_cli.runs.build.trainer import build_trainer
from hrdet_cli.runs.dataset.opening import open_part
from hrdet_cli.runs.rehearsal.measurement import try_steps
from hrdet_cli.specs.experiment import ExperimentSpec
from hrdet_cli.specs.loading import load_spec
from tests.distributed.process_group import gloo_group, run_processes
from tests.tiny_network import tiny_network

CPU = torch.device("cpu")
VARIANTS = ("norm.kind=sync", "norm.kind=batch", "optimisation.accumulate_steps=3")


def spec_of(root: Path, variant: str) -> ExperimentSpec:
    settings = [
        f"data.root={root}",
        "data.demo={seed: 1, num_train_images: 24, num_val_images: 2}",
        "data.batch_size_per_process=1",
        "data.num_workers=0",
        "augmentation.scales_pixels=[[96, 64]]",
        "padding.canvas_pixels=[96, 64]",
        "model.neck.channels=16",
        "model.head.rpn.num_train_proposals=50",
        "model.head.roi_head={num_samples: 16, hidden_features: 32}",
    ]
    return load_spec(preset="demo", settings=[*settings, variant]).spec


def count_second_step(rank: int, size: int, root: Path) -> None:
    """The first process writes what it sent in a step of each variant; in the first step an epoch begins."""
    counted = []
    with tiny_network(), gloo_group(root / f"store-{size}", rank=rank, size=size):
        for variant in VARIANTS:
            spec = spec_of(root, variant)
            part = open_part(spec.data, "train")
            detector = build_detector(spec, num_classes=len(part.annotations.class_names), trains=True)
            place_detector(detector, spec.run, CPU)
            loader = build_training_loader(spec, part, CPU, world=World(rank, size))
            trainer = build_trainer(spec, detector, loader, CPU, learning_rate=0.0, stop_asked=lambda: False)
            steps = iter(trainer.train_epoch())
            next(steps)
            with TrafficCounter() as counter:
                next(steps)
            counted.append(asdict(counter.traffic()))
    assert "torch._dynamo" not in sys.modules, "to import torch's compiler takes longer than these steps"
    if rank == 0:
        (root / f"counted-{size}.json").write_text(json.dumps(counted))


@pytest.mark.distributed
@pytest.mark.parametrize("size", [2, 3])
def test_messages_and_bytes_of_a_step_are_those_that_are_sent(size: int, tmp_path: Path) -> None:
    open_part(spec_of(tmp_path, VARIANTS[0]).data, "train")  # which draws the pictures, once
    run_processes(count_second_step, size, tmp_path, size=size)
    counted = json.loads((tmp_path / f"counted-{size}.json").read_text())
    planned = []
    with tiny_network():
        for variant in VARIANTS:
            spec = spec_of(tmp_path, variant)
            part = open_part(spec.data, "train")
            layout = lay_out_epoch(
                build_steps(spec, part.annotations, num_processes=size), num_processes=size
            )
            messages = try_steps(spec, part, CPU, layout, num_processes=size).messages
            planned.append(
                {
                    "num_collectives": messages.num_small + len(messages.gradient_bytes),
                    "num_bytes": messages.small_bytes + sum(messages.gradient_bytes),
                }
            )
    assert planned == counted
    assert planned[0]["num_collectives"] > planned[1]["num_collectives"] > 1
    assert planned[2]["num_collectives"] > 3 * planned[1]["num_collectives"]
